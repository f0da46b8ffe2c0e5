"""Watching advice: signs of action, changes measured against comparable prompts, and silence where nothing can be told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.surfacing.advice.watching import (
    SETTLING,
    WINDOW,
    Acted,
    acted_on,
    measure_change,
    recommendation_outcomes,
)
from liftos_pipelines.modules.surfacing.pages.audit import EXTRA_COLUMNS as AUDIT_EXTRA
from liftos_pipelines.simulate.advice_panels import AT, acted_panel
from liftos_pipelines.tables import table

ID = "surfacing-0123456789abcdef"


def run(seed: int, worlds: int, **options: Any) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    held: list[bool] = []
    claimed: list[bool] = []
    errors: list[float] = []
    plain: list[float] = []
    naive: list[bool] = []
    for world in range(worlds):
        panel = acted_panel(rng, **options)
        rates, watched, true = panel.rates, panel.watched, panel.effect
        if not watched:
            continue
        change = measure_change(rates, watched, at=AT, seed=world)
        assert change.effect is not None
        assert change.low is not None
        assert change.high is not None
        held.append(change.low <= true <= change.high)
        claimed.append(not change.low <= 0 <= change.high)
        errors.append(change.effect - true)
        values, later = rates["value"].to_numpy(), (rates["asked_at"] >= AT).to_numpy()
        mine = rates["prompt_id"].is_in(watched).to_numpy()
        own, others = ((values[side & later], values[side & ~later]) for side in (mine, ~mine))
        moved = own[0].mean() - own[1].mean()
        plain.append(moved - (others[0].mean() - others[1].mean()) - true)
        sd = np.sqrt(own[0].var() / len(own[0]) + own[1].var() / len(own[1]) + 1e-12)
        naive.append(abs(moved - true) <= 1.645 * sd)
    columns: dict[str, list[Any]] = {
        "held": held,
        "claimed": claimed,
        "bias": errors,
        "plain_bias": plain,
        "naive_held": naive,
    }
    return {name: float(np.mean(values)) for name, values in columns.items()}


@pytest.mark.slow
@pytest.mark.parametrize("watched", [1, 3, 10])
@pytest.mark.parametrize("chosen", ["random", "zero"])
def test_where_nothing_was_done_little_is_claimed(watched: int, chosen: str) -> None:
    found = run(1, 250, watched=watched, effect=0.0, chosen=chosen)
    assert found["claimed"] <= 0.14  # 90 % intervals: one in ten is promised
    assert found["held"] >= 0.86
    assert abs(found["bias"]) < 0.02
    if chosen == "zero" and watched == 10:
        assert (
            found["plain_bias"] > 0.04
        )  # the plain difference in differences takes the return to the mean for an effect
        assert found["naive_held"] < 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("watched", "effect", "chosen", "power"), [(10, 0.15, "random", 0.7), (3, 0.3, "zero", 0.7)])
def test_an_effect_is_found_and_covered(watched: int, effect: float, chosen: str, power: float) -> None:
    found = run(2, 250, watched=watched, effect=effect, chosen=chosen)
    assert found["held"] >= 0.84
    assert found["claimed"] >= power


def test_prompts_chosen_for_their_zero_do_not_look_healed_by_doing_nothing() -> None:
    found = run(3, 40, watched=10, effect=0.0, chosen="zero")
    assert abs(found["bias"]) < 0.03 < found["plain_bias"]
    assert found["claimed"] <= 0.2


def test_an_effect_is_measured_in_its_own_units() -> None:
    panel = acted_panel(np.random.default_rng(5), watched=12, effect=0.3)
    rates, watched, true = panel.rates, panel.watched, panel.effect
    change = measure_change(rates, watched, at=AT)
    assert change.low is not None
    assert change.high is not None
    assert change.low <= true <= change.high
    assert (change.n_watched, change.n_control) == (12, 48)
    assert change.answers == 60 * 2 * 16


def test_what_cannot_be_told_is_unknown_with_its_reason() -> None:
    panel = acted_panel(np.random.default_rng(6), watched=3, effect=0.1)
    rates, watched = panel.rates, panel.watched
    assert "watched prompt" in str(measure_change(rates, ["never asked"], at=AT).reason)
    assert "before and after" in str(measure_change(rates, watched, at=AT + timedelta(days=400)).reason)
    few = measure_change(rates, watched, at=AT, not_controls=[f"p{i}" for i in range(55)])
    assert few.effect is None
    assert "8 are needed" in str(few.reason)


def advice(**changes: object) -> pl.DataFrame:
    row = {"recommendation_id": ID, "rule": "audit:access:indexable", "target": "acme.example", "advised_at": AT, "kind": "access",
           "action": "Make this hold", "watch_metric": "mention_rate", "watch_prompts": ["p1"], "acted_at": AT, "acted_how": "audit"}  # fmt: skip
    times = {"advised_at": pl.Datetime("us", "UTC"), "acted_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame([row | changes], schema_overrides=times | {"watch_prompts": pl.List(pl.String())})


def fixed(on: date) -> pl.DataFrame:
    contract = table("surfacing/page_audit")
    row = {
        "url": "https://acme.example/a",
        "dimension": "access",
        "fixed": [{"check": "indexable (no noindex)", "on": on}],
    }
    return pl.DataFrame([row], schema=contract.columns | AUDIT_EXTRA)


def outcome(text: str, at: datetime) -> pl.DataFrame:
    contract = table("sources/outcomes")
    return pl.DataFrame(
        [{"outcome_id": "o", "decided_at": at, "context": text, "action": "did it"}], schema=contract.columns
    )


def test_action_is_read_from_outcomes_the_ledger_and_the_audit() -> None:
    none = table("sources/outcomes").empty(), table("surfacing/page_audit").empty()
    later = AT + timedelta(days=4)

    def signs(outcomes: pl.DataFrame, audit: pl.DataFrame, *ledger: tuple[datetime, str]) -> dict[str, Acted]:
        return acted_on(advice(), outcomes=outcomes, ledger=ledger, audit=audit)

    assert signs(*none) == {}
    assert signs(outcome(f"after {ID}", later), none[1]) == {ID: Acted(at=later, how="outcome")}
    assert signs(none[0], none[1], (later, f'{{"context": "{ID}"}}'))[ID].how == "ledger"
    assert signs(none[0], fixed(date(2025, 6, 3))) == {ID: Acted(at=datetime(2025, 6, 3, tzinfo=UTC), how="audit")}
    assert signs(none[0], fixed(date(2025, 5, 3))) == {}  # before the advice was given
    first = signs(outcome(ID, later), fixed(date(2025, 6, 3)), (AT, ID))
    assert first[ID].how == "ledger"


def tables_of(rates: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rates as the tables `surfacing/answer_mentions` and `sources/answers`."""
    answers = rates.with_columns(answer_id=pl.int_range(pl.len()).cast(pl.String))
    mentions = answers.select(
        "answer_id", "prompt_id", "engine", brand=pl.lit("Acme"), mentioned=pl.col("value") > 0, cited=pl.lit(None, dtype=pl.Boolean)
    )  # fmt: skip
    return mentions, answers.select("answer_id", "asked_at")


def test_the_table_says_watching_then_measured_and_unknown_with_a_reason() -> None:
    panel = acted_panel(np.random.default_rng(7), watched=12, effect=0.35)
    rates, watched, true = panel.rates, panel.watched, panel.effect
    mentions, answers = tables_of(rates)

    def status(now: datetime, **changes: object) -> dict[str, object]:
        acted = advice(**({"watch_prompts": watched} | changes))
        frame = recommendation_outcomes(acted, mentions, answers, brand="Acme", now=now)
        return table("surfacing/recommendation_outcomes").conform(frame).row(0, named=True)

    over = AT + SETTLING + WINDOW
    soon, late = status(over - timedelta(days=9)), status(over)
    assert (soon["status"], soon["reason"]) == ("watching", "the window has not passed yet")
    assert late["status"] == "measured"
    assert late["low"] <= true <= late["high"]  # type: ignore[operator]
    assert late["reason"] is None
    assert status(over, watch_prompts=[])["status"] == "unknown"
    uncited = status(over, watch_metric="citation_rate")
    assert (uncited["status"], uncited["effect"]) == ("unknown", None)
    frame = recommendation_outcomes(advice(), mentions, answers, brand=None, now=over)
    assert frame["reason"].to_list() == ["no brand configured"]


def test_prompts_of_another_action_are_not_compared_with() -> None:
    panel = acted_panel(np.random.default_rng(8), watched=10, effect=0.3)
    rates, watched = panel.rates, panel.watched
    mentions, answers = tables_of(rates)
    other = [f"p{i}" for i in range(60) if f"p{i}" not in watched][:20]
    acted = pl.concat(
        [advice(watch_prompts=watched), advice(recommendation_id="surfacing-ffffffffffffffff", watch_prompts=other)]
    )
    frame = recommendation_outcomes(acted, mentions, answers, brand="Acme", now=AT + timedelta(days=90))
    assert frame["n_control"].to_list() == [30, 30]
    assert frame["n_watched"].to_list() == [10, 20]
