"""Verdicts follow from stored counters, probabilities mean what they say, and unknown stays unknown."""

from __future__ import annotations

import json

import eval_worlds as world
import numpy as np
import polars as pl
import pytest

from liftos_pipelines.assets.eval import DEFAULT_SLOS
from liftos_pipelines.modules.eval import measure
from liftos_pipelines.modules.eval.slo import Slo
from liftos_pipelines.modules.eval.trust import (
    by_module,
    degraded,
    inventory,
    platform,
    recompute,
    reliability,
    score,
    tables_needed,
    together,
)  # fmt: skip

NAMES = {"brand": "Acme"}


def slo_of(**fields: object) -> Slo:
    base = {"module": "llm", "name": "x", "table": "sources/llm_calls", "owner": "me", "min_n": 10}
    return Slo(**(base | fields))  # type: ignore[arg-type]


def test_every_verdict_can_be_recomputed_from_its_row_alone() -> None:
    scores = score(DEFAULT_SLOS, world.full_world(1), now=world.NOW, names=NAMES)
    assert scores["probability_met"].count() >= 12
    for row in scores.iter_rows(named=True):
        stored = json.loads(json.dumps(row, default=str))  # as an auditor would hold it, without the data
        assert recompute(stored) == (row["met"], row["probability_met"])


def test_a_row_of_another_formula_is_not_recomputed_silently() -> None:
    row = score(DEFAULT_SLOS, world.full_world(1), now=world.NOW, names=NAMES).row(0, named=True)
    with pytest.raises(ValueError, match="trust-0"):
        recompute(row | {"formula": "trust-0"})


def test_without_any_table_everything_is_unknown_and_nothing_is_a_number() -> None:
    scores = score(DEFAULT_SLOS, world.nothing(), now=world.NOW)
    assert scores["met"].unique().to_list() == ["unknown"]
    assert scores["value"].null_count() == scores["probability_met"].null_count() == scores.height
    assert scores["reason"].str.len_chars().min() > 0
    everything = together("all", scores)
    assert (everything.probability, everything.at_most, everything.clearly_met) == (None, None, 0)
    assert degraded(scores).is_empty()
    # A frame that is not even there is the same as an empty one.
    assert score(DEFAULT_SLOS, {}, now=world.NOW).drop("age_hours").equals(scores.drop("age_hours"))


def test_below_min_n_there_is_a_value_but_no_verdict() -> None:
    frames = world.llm_world(np.random.default_rng(0), n=9, days=3)
    row = score([slo_of(metric="share", params={"column": "error", "not_null": True}, direction="at_most",
                        threshold=0.02)], frames, now=world.NOW).row(0, named=True)  # fmt: skip
    assert row["value"] == 0.0
    assert row["met"] == "unknown"
    assert row["probability_met"] is None
    assert row["reason"] == "9 observations, 10 needed"


def test_one_broken_promise_is_not_hidden_by_many_kept_ones() -> None:
    frames = world.full_world(2, errors=0.2)
    trust = {item.module: item for item in by_module(score(DEFAULT_SLOS, frames, now=world.NOW, names=NAMES))}
    assert trust["llm"].probability is not None
    assert trust["llm"].probability < 0.01
    dummy = 2 / 3  # the mean of verdicts, which would call this module mostly fine
    assert trust["llm"].met / trust["llm"].slos == pytest.approx(dummy)


def test_an_unknown_promise_leaves_the_module_without_a_probability_but_with_a_bound() -> None:
    trust = {
        item.module: item for item in by_module(score(DEFAULT_SLOS, world.full_world(2), now=world.NOW, names=NAMES))
    }
    assert trust["sentiment"].unknown == 1
    assert trust["sentiment"].probability is None
    assert trust["sentiment"].at_most is not None
    assert trust["sentiment"].at_least == 0.0
    assert trust["causal"].probability == trust["causal"].at_most


def test_ages_are_relative_to_the_run_and_lags_to_the_newest_data() -> None:
    scores = score(DEFAULT_SLOS, world.full_world(1), now=world.NOW, names=NAMES)
    rows = {row["slo"]: row for row in scores.iter_rows(named=True)}
    assert 24 <= rows["error_rate"]["age_hours"] <= 36
    assert rows["freshness_lag"]["value"] < 24
    assert rows["freshness_lag"]["met"] == "yes"
    years_later = score(DEFAULT_SLOS, world.full_world(1), now=world.NOW.replace(year=2030), names=NAMES)
    assert years_later.filter(pl.col("slo") == "freshness_lag")["met"].item() == "yes"
    assert years_later.filter(pl.col("slo") == "error_rate")["age_hours"].item() > 40_000


def test_quarantined_rows_count_against_the_sources() -> None:
    frames = world.full_world(1)
    frames["sources/inventory"] = inventory(frames, {"llm_calls": 400})
    row = score(DEFAULT_SLOS, frames, now=world.NOW).filter(pl.col("slo") == "quarantine_share").row(0, named=True)
    assert row["met"] == "no"
    assert row["reason"] == "most: llm_calls"


def test_the_change_against_the_window_before_has_an_interval() -> None:
    frames = world.full_world(5, bad_version_from=28, bad_drop=0.6)
    row = score(DEFAULT_SLOS, frames, now=world.NOW).filter(pl.col("slo") == "groundedness").row(0, named=True)
    assert row["change_low"] < row["change"] < row["change_high"] < 0
    steady = (
        score(DEFAULT_SLOS, world.full_world(5), now=world.NOW)
        .filter(pl.col("slo") == "groundedness")
        .row(0, named=True)
    )
    assert steady["change_low"] < 0 < steady["change_high"]


def test_a_quantile_promise_is_judged_by_the_share_within_it() -> None:
    values = np.concatenate([np.full(960, 10.0), np.full(40, 99.0)])
    measured = measure.quantile(values, None, level=0.95, threshold=50.0)
    assert measured.value == 10.0
    assert (measured.successes, measured.trials) == (960, 1000)
    assert measure.probability_met(measured, "at_most", 50.0) == pytest.approx(0.93, abs=0.03)
    assert measure.probability_met(measured, "at_least", 50.0) == pytest.approx(0.07, abs=0.03)


def test_a_value_without_a_spread_has_a_verdict_but_no_probability() -> None:
    frames = {"causal/validation": world.typed("causal/validation", {
        "check": ["heldout_accuracy"], "value": [0.9], "threshold": [0.85], "status": ["pass"], "detail": [""]})}  # fmt: skip
    row = score([slo for slo in DEFAULT_SLOS if slo.name == "heldout_accuracy"], frames, now=world.NOW).row(
        0, named=True
    )
    assert (row["met"], row["probability_met"], row["reason"]) == ("yes", None, "no interval in the table")
    assert recompute(row) == ("yes", None)


def _probabilities(seed: int, clustered: bool, thinned: bool) -> tuple[float, bool]:
    """One world: a service with a random true rate, observed over days that differ when `clustered`."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.6, 0.8)
    days = np.repeat(np.arange(40), 12)
    rates = rng.beta(true * 3, (1 - true) * 3, 40) if clustered else np.full(40, true)
    hits = rng.random(days.size) < rates[days]
    measured = measure.rate(hits, days if thinned else None)
    probability = measure.probability_met(measured, "at_least", 0.7)
    assert probability is not None
    return probability, bool(true >= 0.7)


def test_probabilities_are_calibrated_where_days_differ_and_ignoring_days_is_not() -> None:
    def brier_and_wrongly_sure(thinned: bool) -> tuple[float, float]:
        pairs = [_probabilities(seed, clustered=True, thinned=thinned) for seed in range(800)]
        brier, _ = reliability([p for p, _ in pairs], [kept for _, kept in pairs])
        sure = [(p >= 0.95) == kept for p, kept in pairs if p >= 0.95 or p <= 0.05]
        return brier, 1 - float(np.mean(sure))

    brier, wrongly_sure = brier_and_wrongly_sure(thinned=True)
    naive_brier, naive_wrongly_sure = brier_and_wrongly_sure(thinned=False)
    assert brier < naive_brier
    assert wrongly_sure <= 0.03 < naive_wrongly_sure


def test_the_roll_up_keeps_clients_apart_and_adds_their_totals() -> None:
    good, none = (
        score(DEFAULT_SLOS, frames, now=world.NOW, names=NAMES) for frames in (world.full_world(1), world.nothing())
    )
    table = platform({"b": none, "a": good})
    totals = table.filter(pl.col("module") == "all")
    assert totals["client"].to_list() == ["a", "b"]
    assert totals["unknown"].to_list()[1] == totals["slos"].to_list()[1] == len(DEFAULT_SLOS)
    assert totals["probability_met"].to_list() == [None, None]
    assert platform({}).is_empty()


def test_the_tables_of_custom_promises_are_read_too() -> None:
    extra = slo_of(table="llm/call_scores", metric="mean", params={"column": "cost"}, direction="at_most", threshold=1)
    assert tables_needed([extra]) == ("llm/call_scores", "sources/llm_calls")


@pytest.mark.slow
def test_probabilities_are_calibrated_over_many_worlds() -> None:
    for clustered in (False, True):
        pairs = [_probabilities(seed, clustered, thinned=True) for seed in range(20_000)]
        brier, table = reliability([p for p, _ in pairs], [kept for _, kept in pairs])
        print(f"clustered={clustered} Brier {brier:.4f}", table)
        sure = table.filter(pl.col("bin") == 9)
        assert abs(sure["probability"].item() - sure["kept"].item()) < 0.02
