"""Data quality on sources with known defects: the dimension concerned falls by the planted share, the others do not."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from liftos_pipelines.modules.agentic.data_quality import OVERALL, WEIGHTS, Received, data_quality, level
from liftos_pipelines.modules.sources.rows import QUARANTINE
from liftos_pipelines.tables import table

NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
ROWS = 200


def campaigns(names: int = 20) -> Received:
    contract = table("sources/campaigns")
    rows = [
        {"campaign_id": f"c{n}", "name": f"Campaign {n}", "start": date(2025, 1, 1), "end": date(2025, 2, 1)}
        for n in range(names)
    ]
    return Received(
        dataset="sources/campaigns",
        rows=contract.conform(pl.DataFrame(rows)),
        set_aside=pl.DataFrame(schema=QUARANTINE),
    )


def mentions(**changed: object) -> Received:
    contract = table("sources/mentions")
    rows = [
        {
            "mention_id": f"m{n}",
            "published_at": NOW - timedelta(days=1 + n % 40),
            "source": "forum",
            "text": "a text",
            "campaign_id": f"c{n % 20}",
        }
        for n in range(ROWS)
    ]
    said = {"identical": 0, "restated": 0, "ignored": ()} | changed
    frame = said.pop("rows", None)
    aside = said.pop("set_aside", pl.DataFrame(schema=QUARANTINE))
    kept = contract.conform(pl.DataFrame(rows) if frame is None else frame)
    return Received(dataset="sources/mentions", rows=kept, set_aside=aside, **said)  # type: ignore[arg-type]


def scores(*received: Received, **more: object) -> dict[str, float | None]:
    judged = data_quality(received, NOW, **more)  # type: ignore[arg-type]
    return dict(judged.filter(pl.col("dataset") == "sources/mentions").select("dimension", "score").iter_rows())


def aside(rows: int, reason: str, column: str = "text") -> pl.DataFrame:
    return pl.DataFrame(
        [{"file": "f.csv", "row": n, "column": column, "reason": reason, "raw": "{}"} for n in range(rows)],
        schema=QUARANTINE,
    )


def test_sound_data_score_one_wherever_something_could_be_counted_and_accuracy_stays_unknown() -> None:
    found = scores(mentions(), campaigns())
    assert {name for name, score in found.items() if score is None} == {"accuracy", "consistency"}
    assert all(score == 1 for score in found.values() if score is not None)
    judged = data_quality([mentions(), campaigns()], NOW)
    assert judged.filter((pl.col("dataset") == "sources/mentions") & (pl.col("dimension") == OVERALL))[
        "status"
    ].to_list() == ["unknown"], "nobody confirmed a value, so the gate can neither pass nor fail"


def test_weights_are_whole_and_the_overall_score_is_over_what_is_known() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    received = mentions(identical=ROWS)
    found = scores(received, campaigns())
    known = {name: score for name, score in found.items() if name != OVERALL and score is not None}
    expected = sum(WEIGHTS[name] * score for name, score in known.items()) / sum(WEIGHTS[name] for name in known)
    assert found[OVERALL] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("defect", "dimension", "expected"),
    [
        ({"identical": 50}, "uniqueness", ROWS / (ROWS + 50)),
        ({"set_aside": aside(50, "says x, write a date")}, "validity", ROWS / (ROWS + 50)),
        ({"restated": 20}, "accuracy", 1 - 20 / ROWS),
        ({"ignored": ("mood", "colour")}, "relevance", 5 / 7),
    ],
)
def test_a_planted_defect_lowers_its_own_dimension_and_no_other(
    defect: dict[str, object], dimension: str, expected: float
) -> None:
    sound, broken = scores(mentions(), campaigns()), scores(mentions(**defect), campaigns())
    assert broken[dimension] == pytest.approx(expected)
    others = [name for name in WEIGHTS if name != dimension]
    assert {name: broken[name] for name in others} == {name: sound[name] for name in others}


def test_an_empty_required_cell_is_incomplete_as_well_as_unreadable() -> None:
    broken = scores(mentions(set_aside=aside(40, "is empty; this column needs a value in every row")), campaigns())
    required = len(table("sources/mentions").columns) - len(table("sources/mentions").optional)
    assert broken["completeness"] == pytest.approx(1 - 40 / ((ROWS + 40) * required))
    assert broken["validity"] == pytest.approx(ROWS / (ROWS + 40))


def test_unknown_names_of_other_sources_lower_integrity_and_are_named() -> None:
    frame = mentions().rows.with_columns(
        pl.when(pl.int_range(pl.len()) < 10).then(pl.lit("c-none")).otherwise("campaign_id").alias("campaign_id")
    )
    judged = data_quality([mentions(rows=frame), campaigns()], NOW)
    row = judged.filter((pl.col("dataset") == "sources/mentions") & (pl.col("dimension") == "integrity")).row(
        0, named=True
    )
    assert row["score"] == pytest.approx(1 - 10 / ROWS)
    assert "c-none" in row["evidence"]


def test_rows_that_speak_against_themselves_lower_consistency() -> None:
    broken = campaigns().rows.with_columns(
        pl.when(pl.col("campaign_id") == "c3").then(date(2024, 1, 1)).otherwise("end").alias("end")
    )
    received = Received(dataset="sources/campaigns", rows=broken, set_aside=pl.DataFrame(schema=QUARANTINE))
    row = data_quality([received], NOW).filter(pl.col("dimension") == "consistency").row(0, named=True)
    assert row["score"] == pytest.approx(19 / 20)
    assert row["evidence"] == "start after end: 1"


def test_steps_that_go_back_in_time_are_found_whatever_the_order_of_rows() -> None:
    contract = table("sources/agent_steps")
    rows = [
        {"run_id": "r", "agent_id": "a", "step": n, "at": NOW + timedelta(minutes=n), "kind": "message"}
        for n in range(10)
    ]
    rows[4]["at"] = NOW - timedelta(minutes=1)
    random.Random(3).shuffle(rows)
    received = Received(
        dataset="sources/agent_steps",
        rows=contract.conform(pl.DataFrame(rows)),
        set_aside=pl.DataFrame(schema=QUARANTINE),
    )
    row = data_quality([received], NOW).filter(pl.col("dimension") == "consistency").row(0, named=True)
    assert row["evidence"] == "a step earlier than the one before it: 1"


def test_late_data_lose_the_periods_that_did_not_arrive() -> None:
    late = mentions().rows.filter(pl.col("published_at") < NOW - timedelta(days=6))
    found = scores(mentions(rows=late), campaigns())
    assert found["timeliness"] == pytest.approx(6 / 12)


def test_a_confirmed_value_counts_and_a_gate_names_what_failed() -> None:
    judged = data_quality([mentions()], NOW, {"sources/mentions": (70, 100, "somebody else")})
    row = judged.filter(pl.col("dimension") == "accuracy").row(0, named=True)
    assert (row["score"], row["status"]) == (0.7, "fail")
    assert row["low"] < 0.7 < row["high"]
    overall = judged.filter(pl.col("dimension") == OVERALL).row(0, named=True)
    assert overall["status"] == "fail"
    assert "accuracy" in overall["evidence"]


def test_levels_are_words() -> None:
    assert [level(score) for score in (0.96, 0.85, 0.7, 0.5, 0.1, None)] == [
        "excellent",
        "good",
        "fair",
        "poor",
        "critical",
        "unknown",
    ]
