"""What serves: a fit that passed, or the last one that did; an operator's alias is followed; nothing is served unjudged."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from assets.causal_running import Run, checks_of, metadata_of, runner, write_client
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.checks.champion import choose
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.model_registry import CHAMPION, ModelGone, ModelRegistry
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import DriftDetected

QUICK: dict[str, object] = {"chains": 2, "draws": 400, "tune": 300, "max_lag": 4, "seasonality": 1, "holdout_weeks": 6}
IMPOSSIBLE = {"gate": {"heldout_accuracy": {"warn": 2.0, "fail": 1.5}}}
ANSWERS = ("channel_results", "response_curves", "budget_plan")


def drift(spine: Spine, as_of: date) -> str:
    """The event by which the watch between fits asks for a refit."""
    payload = DriftDetected(
        dataset="causal/mmm_posterior",
        column="outcome",
        as_of=as_of,
        test="pareto_k_hat",
        statistic=1.2,
        p_value_adjusted=None,
    )
    return spine.raise_event("acme", payload, occurred_at=datetime.combine(as_of, time(), UTC)).event_id


@pytest.fixture
def run(home: Path, instance: dg.DagsterInstance) -> Run:
    return runner(instance)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=3, geos=1, weeks=80)


def test_a_failing_fit_is_kept_and_marked_while_the_champion_serves_and_an_operator_rolls_back(
    run: Run, home: Path, world: World
) -> None:
    lake = Lake(str(home / "lake"))
    write_client(home, "acme", world, QUICK)
    run("acme")
    first = lake.read("acme", "causal/channel_results")
    registry = ModelRegistry("acme", MlflowResource())
    champion = registry.champion()
    assert champion is not None
    assert (champion.number, champion.tags["gate"]) == (1, "passed")

    # Three weeks later a fit fails: it is a version with its verdict, and the answers stay those of the first.
    longer = make_world(seed=3, geos=1, weeks=83)
    write_client(home, "acme", longer, QUICK | IMPOSSIBLE)
    fit = metadata_of(run("acme", "panel", "mmm_posterior"), "mmm_posterior")
    # The refit is made in the champion's units. Before it is checked itself, the checks of the first are not its own.
    assert (fit["version"], fit["units"]) == (2, "those of version 1")
    said = metadata_of(run("acme", "champion"), "champion")
    assert said["version"] == 1
    assert "version 2 has not been checked" in str(said["why"])
    # A drift that asked for this refit is answered by it, whatever the verdict; one of later weeks is not.
    spine = open_spine()
    asked = [drift(spine, longer.weeks[-1]), drift(spine, longer.weeks[-1] + timedelta(weeks=1))]
    result = run("acme", "validation", "champion", *ANSWERS)
    assert [spine.is_handled(event, "causal/champion") for event in asked] == [True, False]
    second = registry.version(2)
    champion = registry.champion()
    assert second is not None
    assert champion is not None
    assert second.tags["gate"] == "failed: heldout_accuracy"
    assert champion.number == 1
    said = metadata_of(result, "champion")
    assert (said["version"], said["weeks_unseen"]) == (1, 3)
    assert "version 2 failed heldout_accuracy" in str(said["why"])
    checks = checks_of(result)
    assert not checks["heldout_accuracy"].passed
    assert checks["heldout_accuracy"].severity == dg.AssetCheckSeverity.ERROR
    assert not checks["served_model_is_current"].passed
    assert checks["served_model_is_current"].severity == dg.AssetCheckSeverity.WARN
    still = lake.read("acme", "causal/channel_results")
    assert still["roi"].to_list() == pytest.approx(first["roi"].to_list())
    checked = lake.read("acme", "causal/validation")
    assert checked.filter(pl.col("check") == "champion_stability")["status"].to_list() == ["pass"]

    # With the level put right the same fit passes, without a refit.
    write_client(home, "acme", longer, QUICK)
    result = run("acme", "validation", "champion", *ANSWERS)
    assert metadata_of(result, "champion")["version"] == 2
    now = lake.read("acme", "causal/channel_results")
    assert now["roi"].to_list() != pytest.approx(first["roi"].to_list(), rel=1e-6)

    # An operator moves the alias back: the old version's own artefact serves, and is not overruled.
    MlflowResource().open().MlflowClient().set_registered_model_alias("acme-mmm", CHAMPION, "1")
    for _ in range(2):
        result = run("acme", "champion", *ANSWERS)
        said = metadata_of(result, "champion")
        assert said["version"] == 1
        assert "by hand" in str(said["why"])
    back = lake.read("acme", "causal/channel_results")
    assert back["roi"].to_list() == pytest.approx(first["roi"].to_list())


def test_before_any_fit_has_passed_nothing_is_served_and_every_answer_says_so(
    run: Run, home: Path, world: World
) -> None:
    """Sixty weeks of noise with enormous spend: a model is fitted, and nobody is shown it."""
    rng = np.random.default_rng(1)
    short = make_world(seed=5, geos=1, weeks=60)
    noise = short.outcome.with_columns(outcome=pl.Series(rng.lognormal(3.0, 2.0, 60)))
    noise = noise.with_columns(revenue=pl.col("outcome") * 40.0)
    media = short.media.with_columns(pl.col("spend") * 1e4)
    broken = World(**{**vars(short), "outcome": noise, "media": media})
    write_client(home, "noise", broken, QUICK)
    result = run("noise")
    failing = [name for name, check in checks_of(result).items() if check.severity == dg.AssetCheckSeverity.ERROR]
    assert failing
    status = "unknown: no model has passed the publish gate"
    assert metadata_of(result, "champion")["status"] == status
    lake = Lake(str(home / "lake"))
    for name in ANSWERS:
        assert lake.read("noise", f"causal/{name}").is_empty()
        assert lake.status("noise", f"causal/{name}") == status
    assert not checks_of(result)["served_model_is_current"].passed
    candidate = ModelRegistry("noise", MlflowResource()).version(1)
    assert candidate is not None
    assert candidate.tags["gate"].startswith("failed: ")
    assert ModelRegistry("noise", MlflowResource()).champion() is None


def test_a_champion_whose_artefact_is_gone_is_said_to_be(home: Path) -> None:
    mlflow = MlflowResource()
    registry = ModelRegistry("acme", mlflow)
    tracking = mlflow.open()
    tracking.set_experiment(experiment_id=tracking.create_experiment("acme", artifact_location=str(home / "gone")))
    with tracking.start_run() as started:
        pass
    assert registry.champion() is None
    version = registry.register(started.info.run_id, {})
    tracking.MlflowClient().set_registered_model_alias(registry.name, CHAMPION, "1")
    with pytest.raises(ModelGone, match=r"version 1 of acme-mmm .* move the alias champion"):
        registry.load(version)


BASE: dict[str, object] = {
    "candidate": 2, "judged": 2, "failed": [], "promoted_before": False, "champion": 1, "held": False
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "serve", "promote"),
    [
        ({}, "candidate", True),
        ({"champion": None}, "candidate", True),
        ({"failed": ["r_hat"]}, "champion", False),
        ({"failed": ["r_hat"], "champion": None}, "nothing", False),
        ({"judged": 1}, "champion", False),
        ({"judged": None, "champion": None}, "nothing", False),
        ({"candidate": None, "judged": None}, "champion", False),
        ({"champion": 2, "promoted_before": True}, "candidate", False),
        ({"promoted_before": True}, "champion", False),
        ({"promoted_before": True, "champion": None}, "nothing", False),
        ({"held": True}, "champion", False),
        ({"champion": 2, "promoted_before": True, "failed": ["r_hat"]}, "champion", False),
    ],
)
def test_what_serves_follows_from_checks_alias_and_hold(change: dict[str, object], serve: str, promote: bool) -> None:
    verdict = choose(**(BASE | change))  # type: ignore[arg-type]
    assert (verdict.serve, verdict.promote) == (serve, promote)
    assert verdict.why
