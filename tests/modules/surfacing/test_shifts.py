"""Shifts told apart by whose they are: one brand's, an engine's, the world's, our own; with dates and who moved."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from liftos_pipelines.modules.surfacing.changes.daily import CITES, daily_series
from liftos_pipelines.modules.surfacing.changes.shifts import watch_engines
from liftos_pipelines.tables import table

from .worlds import BRANDS, daily_answers, day_of

CHANGE = 70
ALL_MOVE = {"Acme": -1.2, "Globex": 1.0, "Initech": -0.8, "Hooli": 1.2, "Umbrella": -1.0}


def kinds(frame: pl.DataFrame) -> list[tuple[str, str, str]]:
    return frame.select("engine", "kind", "brand").rows()


def test_an_engine_that_reweighs_brands_is_an_engine_change() -> None:
    mentions, answers = daily_answers(1, engines=("one", "two"), change_day=CHANGE, shift={"two": ALL_MOVE})
    found = watch_engines(mentions, answers).table
    assert kinds(found) == [("two", "engine", "all")]
    row = found.row(0, named=True)
    assert day_of(CHANGE) <= row["detected_at"].date() <= day_of(CHANGE + 8)
    assert row["changed_low"] <= day_of(CHANGE) <= row["changed_high"] + timedelta(days=1)
    assert row["base_start"] < row["window_start"] <= row["window_end"]
    assert row["p_value"] < 0.01
    assert set(row["won"]) <= {"Globex", "Hooli"}
    assert set(row["lost"]) <= {"Acme", "Initech", "Umbrella"}
    assert len(row["won"] + row["lost"]) >= 3
    acme = next(one for one in row["brand_effects"] if one["brand"] == "Acme")
    assert acme["low"] < acme["points"] < acme["high"] < 0
    assert acme["logit"] < 0
    assert table("surfacing/shifts").conform(found).height == 1


def test_one_brand_that_falls_is_a_brand_change_with_its_size() -> None:
    mentions, answers = daily_answers(2, engines=("one", "two"), change_day=CHANGE, shift={"one": {"Acme": -2.5}})
    found = watch_engines(mentions, answers).table
    assert ("one", "brand", "Acme") in kinds(found)
    assert {kind for _, kind, _ in kinds(found)} == {"brand"}
    assert found.filter(pl.col("brand") == "Acme")["effect"].max() < 0


def test_the_same_on_every_engine_is_the_world() -> None:
    mentions, answers = daily_answers(
        13, engines=("one", "two"), change_day=CHANGE, shift={"one": ALL_MOVE, "two": ALL_MOVE}
    )
    assert kinds(watch_engines(mentions, answers).table) == [("all", "world", "all")]


def test_one_brand_on_every_engine_is_that_brand_everywhere() -> None:
    drop = {"Acme": -2.5}
    mentions, answers = daily_answers(4, engines=("one", "two"), change_day=CHANGE, shift={"one": drop, "two": drop})
    assert ("all", "brand", "Acme") in kinds(watch_engines(mentions, answers).table)


def test_other_prompts_are_our_own_change() -> None:
    mentions, answers = daily_answers(5, prompts_change=CHANGE)
    found = watch_engines(mentions, answers).table
    assert {kind for _, kind, _ in kinds(found)} == {"own"}
    assert "new prompts" in found["evidence"][0]


def test_reworded_prompts_do_not_hide_a_change_of_the_engine() -> None:
    mentions, answers = daily_answers(6, prompts_change=CHANGE, change_day=CHANGE, shift={"one": ALL_MOVE})
    found = watch_engines(mentions, answers).table
    assert [kind for _, kind, _ in kinds(found)] == ["own", "engine"]


def test_a_stable_engine_and_a_short_history_are_silent() -> None:
    assert watch_engines(*daily_answers(7)).table.is_empty()
    short = watch_engines(*daily_answers(8, days=12, change_day=6, shift={"one": ALL_MOVE})).table
    assert short.is_empty()
    assert table("surfacing/shifts").conform(short).is_empty()


def test_the_same_data_and_seed_give_the_same_shifts() -> None:
    world = daily_answers(9, change_day=CHANGE, shift={"one": ALL_MOVE})
    assert watch_engines(*world).table.equals(watch_engines(*world).table)


def test_a_recorded_parser_version_that_changes_with_the_series_is_our_own_change() -> None:
    mentions, answers = daily_answers(11, change_day=CHANGE, shift={"one": ALL_MOVE})
    late = pl.col("asked_at").dt.date() >= day_of(CHANGE)
    version = pl.when(late).then(pl.lit("2")).otherwise(pl.lit("1")).alias("parser_version")
    found = watch_engines(mentions, answers.with_columns(version)).table
    assert kinds(found) == [("one", "own", "all")]
    assert "parser_version changed from 1 to 2" in found["evidence"][0]


def test_a_recorded_model_that_changes_with_the_series_is_evidence_and_one_that_does_not_is_none() -> None:
    mentions, answers = daily_answers(11, change_day=CHANGE, shift={"one": ALL_MOVE})

    def evidence(day: int) -> str:
        late = pl.col("asked_at").dt.date() >= day_of(day)
        model = pl.when(late).then(pl.lit("m-2")).otherwise(pl.lit("m-1")).alias("model")
        found = watch_engines(mentions, answers.with_columns(model)).table
        assert kinds(found) == [("one", "engine", "all")]
        return str(found["evidence"][0])

    assert f"recorded model changed from m-1 to m-2 on {day_of(CHANGE)}" in evidence(CHANGE)
    assert "recorded model" not in evidence(40)


def confusion(worlds: int) -> dict[str, list[set[tuple[str, str, str]]]]:
    """Rows after the change that each kind of change led to, world by world."""
    both = ("one", "two")
    kinds_of = {
        "engine": {"engines": both, "change_day": CHANGE, "shift": {"two": ALL_MOVE}},
        "brand": {"engines": both, "change_day": CHANGE, "shift": {"one": {"Acme": -2.5}}},
        "world": {"engines": both, "change_day": CHANGE, "shift": {"one": ALL_MOVE, "two": ALL_MOVE}},
        "own": {"prompts_change": CHANGE},
    }
    result = {}
    for kind, world in kinds_of.items():
        found = (watch_engines(*daily_answers(200 + seed, **world)).table for seed in range(worlds))  # type: ignore[arg-type]
        result[kind] = [set(kinds(frame.filter(pl.col("detected_at").dt.date() >= day_of(CHANGE)))) for frame in found]
    return result


RIGHT = {"engine": ("two", "engine", "all"), "brand": ("one", "brand", "Acme"), "world": ("all", "world", "all")}


@pytest.mark.slow
def test_each_kind_of_change_is_called_by_its_name() -> None:
    for kind, rows in confusion(12).items():
        right = RIGHT.get(kind, ("one", "own", "all"))
        assert sum(one == {right} for one in rows) >= 9, (kind, rows)


def test_an_engine_that_is_not_watched_says_why() -> None:
    report = watch_engines(*daily_answers(8, days=12))
    (state,) = report.engines
    assert state.watched_since is None
    assert "12 asking days, at least 17 are needed" in state.reason
    assert report.watched_years == 0


def test_empty_tables_make_an_empty_report() -> None:
    mentions, answers = daily_answers(8, days=2)
    report = watch_engines(mentions.clear(), answers)
    assert report.table.is_empty()
    assert table("surfacing/shifts").conform(report.table).is_empty()


def test_daily_series_hold_the_day_s_rates_and_what_answers_look_like() -> None:
    mentions, answers = daily_answers(10, days=20)
    (one,) = daily_series(mentions, answers)
    today = pl.col("asked_at").dt.date() == day_of(3)

    def value(name: str) -> float:
        return float(one.values[3, one.names.index(name)])

    assert value("Acme") == pytest.approx(mentions.filter((pl.col("brand") == "Acme") & today)["mentioned"].mean())
    assert one.brands == len(BRANDS)
    assert set(one.weights[:, 0]) == {40.0}
    assert value("citations_per_answer") == 3
    assert value("refusal_share") == 0
    assert value("list_share") == 0
    sets = mentions.filter(today & pl.col("mentioned")).group_by("prompt_id", "answer_id").agg(pl.col("brand"))
    pairs = sets.join(sets, on="prompt_id").filter(pl.col("answer_id") < pl.col("answer_id_right"))
    jaccard = [len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in pairs.select("brand", "brand_right").rows()]
    one_empty = 20 - sum(sets.group_by("prompt_id").len()["len"] == 2) - _silent_prompts(mentions, sets, today)
    assert value("run_agreement") == pytest.approx(sum(jaccard) / (len(jaccard) + one_empty))
    hosts = answers.filter(today).explode("citations")
    first = hosts.filter(pl.col("citations") == "https://s1.example").height / 40
    assert value(f"{CITES}s1.example") == pytest.approx(first)


def _silent_prompts(mentions: pl.DataFrame, sets: pl.DataFrame, today: pl.Expr) -> int:
    """Prompts of the day of which no run names a brand: they say nothing of agreement."""
    asked = mentions.filter(today)["prompt_id"].unique()
    return len(set(asked) - set(sets["prompt_id"]))


def test_refusals_lists_and_hosts_in_the_text_are_read() -> None:
    mentions, answers = daily_answers(12, days=3)
    texts = ["1. A\n2. B https://www.one.example/x", "I can't help with that.", "plain prose", ""]
    worded = answers.with_columns(
        text=pl.Series([texts[i % 4] for i in range(answers.height)]), citations=pl.lit(None, pl.List(pl.String))
    )
    (one,) = daily_series(mentions, worded)
    at = {name: float(one.values[0, i]) for i, name in enumerate(one.names)}
    assert at["list_share"] == pytest.approx(1 / 3)  # of the answers that have text
    assert at["refusal_share"] == pytest.approx(2 / 4)
    assert at[f"{CITES}one.example"] == 1.0  # of the answers that cite
