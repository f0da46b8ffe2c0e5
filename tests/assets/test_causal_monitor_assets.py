"""The watch between full fits on a real instance: new weeks update, a break asks once for a refit, fits are kept."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from assets.causal_running import Run, metadata_of, runner, write_client
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.assets import causal_monitor
from liftos_pipelines.modules.memory.records import from_modules
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.spine import open_spine

QUICK = {"chains": 2, "draws": 600, "tune": 300, "max_lag": 4, "seasonality": 1, "holdout_weeks": 6}
UPDATES = ("panel", "monitor", "channel_update")


@pytest.fixture
def run(home: Path, instance: dg.DagsterInstance) -> Run:
    return runner(instance, causal_monitor)


def test_new_weeks_update_the_returns_and_a_break_asks_once_for_a_refit(run: Run, home: Path) -> None:
    write_client(home, "acme", make_world(seed=3, geos=1, weeks=80), QUICK)
    run("acme")
    lake = Lake(str(home / "lake"))
    first = lake.read("acme", "causal/monitor").row(0, named=True)
    assert (first["method"], first["tier"]) == ("refit", 4)
    told = lake.read("acme", "causal/channel_update")
    served = lake.read("acme", "causal/channel_results").filter(pl.col("geo") == "all")
    both = told.join(served, on="channel", suffix="_served")
    assert both["roi_stale"].to_list() == pytest.approx(both["roi_served"].to_list(), rel=1e-6)
    assert both["roi"].to_list() == both["roi_stale"].to_list()

    longer = make_world(seed=3, geos=1, weeks=83)
    write_client(home, "acme", longer, QUICK)
    result = run("acme", *UPDATES)
    newest = lake.read("acme", "causal/monitor").sort("as_of").row(-1, named=True)
    assert newest["as_of"] == max(longer.outcome["date"])
    assert (newest["method"], newest["tier"], newest["new_weeks"]) == ("update", 1, 3)
    assert not newest["drift_flag"]
    assert np.isfinite(newest["k_hat"])
    assert newest["ess"] >= 400
    assert newest["functional_ess"] >= 400
    fresh = lake.read("acme", "causal/channel_update")
    assert fresh["method"].unique().to_list() == ["update"]
    assert (fresh["roi"] != fresh["roi_stale"]).all()
    assert fresh["roi_stale"].to_list() == told["roi_stale"].to_list()
    assert metadata_of(result, "monitor")["seconds"] > 0
    spine = open_spine()
    assert not spine.events("acme", ["drift_detected"])

    broken = make_world(seed=3, geos=1, weeks=86)
    gone = longer.weeks[-1] - timedelta(weeks=3)
    changed = broken.outcome.with_columns(
        pl.when(pl.col("date") > gone).then(pl.col(name) * 0.6).otherwise(pl.col(name)).alias(name)
        for name in ("outcome", "revenue")
    )
    write_client(home, "acme", World(**{**vars(broken), "outcome": changed}), QUICK)
    run("acme", *UPDATES)
    run("acme", *UPDATES)
    events = spine.events("acme", ["drift_detected"])
    assert [(event.payload.dataset, event.payload.column) for event in events] == [("causal/mmm_posterior", "outcome")]
    assert lake.read("acme", "causal/monitor").sort("as_of")["drift_flag"][-1]


def test_without_a_fit_the_watch_says_why(run: Run, home: Path) -> None:
    write_client(home, "quiet", None, {})
    run("quiet")
    lake = Lake(str(home / "lake"))
    assert lake.status("quiet", "causal/monitor") == "skipped: no source (marketing)"
    assert lake.read("quiet", "causal/channel_update").is_empty()
    write_client(home, "new", make_world(seed=3, geos=1, weeks=80), QUICK)
    run("new", "panel", "monitor", "channel_update")
    assert lake.status("new", "causal/monitor") == "unknown: the model was never fitted"


def test_fits_are_kept_and_a_sale_that_always_cannibalises_is_told_and_remembered(run: Run, home: Path) -> None:
    world = make_world(seed=1, geos=1, weeks=104)
    change, sales = np.ones(104), (20, 45, 70, 88)
    for week in sales:
        change[week : week + 2] += 0.05
        change[week + 2 : week + 6] -= 0.06
    changed = world.outcome.with_columns(pl.col("outcome", "revenue") * change)
    events = [
        {"name": "sale", "start": str(world.weeks[w]), "end": str(world.weeks[w] + timedelta(days=13))} for w in sales
    ]
    write_client(home, "acme", World(**{**vars(world), "outcome": changed}), QUICK | {"events": events, "folds": 1})
    run("acme", "panel", "mmm_posterior", "fit_history", "patterns")
    run("acme", "panel", "fit_history", "patterns")
    lake, spine = Lake(str(home / "lake")), open_spine()
    history = lake.read("acme", "causal/fit_history")
    assert history["version"].n_unique() == 1
    assert set(history["kind"]) == {"return", "mean_lag", "half_saturation", "effect"}
    found = lake.read("acme", "causal/patterns")
    assert found.select("kind", "channel").rows() == [("treatment_cannibalises", "sale")]
    events_told = spine.events("acme", ["causal_pattern_detected"])
    assert [event.payload.pattern_id for event in events_told] == found["pattern_id"].to_list()
    remembered = from_modules.causal_patterns(found)
    assert "sale" in remembered["text"][0]
    assert remembered["effect"][0] < 0
