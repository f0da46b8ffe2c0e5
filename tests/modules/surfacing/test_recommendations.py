"""Advice: tied to what was measured, graded, and without an effect that nobody measured."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.surfacing import answer_mentions, audit_pages
from liftos_pipelines.modules.surfacing.advice.outcomes import (
    Study,
    measured_effects,
    patterns_by_kind,
    studies_of_outcomes,
    studies_of_watching,
)
from liftos_pipelines.modules.surfacing.advice.recommendations import recommendations, with_history, with_status
from liftos_pipelines.modules.surfacing.advice.watching import Acted
from liftos_pipelines.modules.surfacing.pages.audit import GRADES
from liftos_pipelines.modules.surfacing.visibility.gaps import prompt_gaps, source_gaps
from liftos_pipelines.simulate.advice_panels import past_actions
from liftos_pipelines.tables import table
from liftos_pipelines.templates.evidence import catalogue
from liftos_pipelines.text import Name

from .test_audit import ACME, GOOD, WEIGHTS, pages
from .test_mentions import BRANDS

DAY = datetime(2025, 5, 1, tzinfo=UTC)


def outcomes(*rows: tuple[str, str, float | None, float | None, str]) -> pl.DataFrame:
    return table("sources/outcomes").conform(
        pl.DataFrame(
            [
                {"outcome_id": str(i), "decided_at": DAY, "context": "", "action": action, "metric": metric,
                 "effect": effect, "std_error": error, "campaign_id": None, "domain": domain}
                for i, (action, metric, effect, error, domain) in enumerate(rows)
            ],
            schema=table("sources/outcomes").columns,
        )
    )  # fmt: skip


def panel(texts: dict[str, str], source: str) -> pl.DataFrame:
    return table("sources/answers").conform(
        pl.DataFrame(
            [
                {"answer_id": f"{prompt}-{i}", "asked_at": DAY, "engine": "e", "prompt_id": prompt, "prompt": f"about {prompt}?",
                 "run": str(i), "text": text, "citations": [source]}
                for prompt, text in texts.items() for i in range(3)
            ]
        )
    )  # fmt: skip


def advise(
    *,
    answers: pl.DataFrame | None = None,
    past: list[Study] | None = None,
    brands: list[Name] = BRANDS,
    **frames: pl.DataFrame,
) -> pl.DataFrame:
    """Advice from some tables; the others are empty, as for a client without their sources."""
    given = {"audit": table("surfacing/page_audit").empty(), "shifts": table("surfacing/shifts").empty()} | frames
    patterns = given.pop("patterns", table("memory/patterns").empty())
    gaps, sources = table("surfacing/prompt_gaps").empty(), table("surfacing/source_gaps").empty()
    if answers is None:
        answers = table("sources/answers").empty()
    else:
        mentions = answer_mentions(answers, brands)
        gaps, sources = prompt_gaps(mentions, answers), source_gaps(mentions, answers, brands)
    found = recommendations(
        **given,
        answers=answers,
        prompt_gaps=gaps,
        source_gaps=sources,
        brand=brands[0].name if brands else None,
        evidence=catalogue().by_kind(),
        effects=measured_effects(past or []),
        patterns=patterns_by_kind(patterns),
        now=DAY,
    )
    return table("surfacing/recommendations").conform(found)


def test_nothing_measured_gives_no_advice() -> None:
    assert advise().is_empty()


def test_gaps_are_prompts_and_sources_where_only_competitors_appear() -> None:
    answers = panel(
        {"p1": "Globex leads.", "p2": "Globex wins.", "p3": "Acme and Globex.", "p4": "Nobody."},
        "https://guide.example/x",
    )
    everywhere = advise(answers=answers)  # cited as often where Acme is named: explains nothing
    assert everywhere.filter(pl.col("kind") == "source_gap").is_empty()
    other = pl.lit(["https://acme.example/"])
    answers = answers.with_columns(citations=pl.when(pl.col("prompt_id") == "p3").then(other).otherwise("citations"))
    found = advise(answers=answers)
    assert set(found.filter(pl.col("kind") == "prompt_gap")["target"]) == {"p1", "p2"}
    assert found.filter(pl.col("kind") == "source_gap")["target"].to_list() == ["guide.example"]
    assert set(found["evidence_grade"]) == {"C"}
    assert found.filter(pl.col("kind") == "source_gap")["watch_prompts"].to_list() == [["p1", "p2"]]
    assert set(found["watch_until"]) == {date(2025, 7, 3)}
    assert found["zero_sum"].all()
    assert found["expected_effect"].null_count() == found.height


def test_a_competitor_s_own_site_is_not_a_source_to_win() -> None:
    answers = panel({"p1": "Globex leads.", "p2": "Globex wins."}, "https://www.globex.example/x")
    found = advise(answers=answers)
    assert found.filter(pl.col("kind") == "source_gap").is_empty()


def test_failed_checks_become_one_advice_a_site_graded_by_dimension() -> None:
    bad = GOOD.replace("<h1>Boots</h1>", "").replace("<head>", '<head><meta name="robots" content="noindex">')
    audit = audit_pages(
        pages(("https://acme.example/a", bad), ("https://acme.example/b", bad)),
        brand=ACME,
        weights=WEIGHTS,
        now=date(2025, 6, 1),
    )
    found = advise(audit=audit)
    grades = dict(found.select("source_pattern", "evidence_grade").iter_rows())
    assert found["source_pattern"].to_list() == found["rule"].to_list()
    assert grades["audit:access:indexable"] == "A"
    assert grades["audit:canonical_headings:exactly one h1"] == "B"
    assert not any("llms" in pattern for pattern in grades)
    assert found.filter(pl.col("source_pattern") == "audit:access:indexable")["support"].to_list() == [2]
    assert found["evidence_grade"].is_sorted()
    assert found["recommendation_id"].n_unique() == found.height


def test_effects_come_from_measured_outcomes_of_that_kind_only() -> None:
    answers = panel({"p1": "Globex leads.", "p2": "Globex wins."}, "https://guide.example/x")
    past = outcomes(
        ("digital PR in review sites", "mention_rate", 0.10, 0.02, "surfacing"),
        ("Digital PR for guides", "mention_rate", 0.14, 0.02, "surfacing"),
        ("digital PR", "revenue", 900.0, 10.0, "causal"),
        ("digital PR", "mention_rate", None, 0.02, "surfacing"),
    )
    found = advise(answers=answers, past=studies_of_outcomes(past))
    won = found.filter(pl.col("kind") == "source_gap").row(0, named=True)
    assert won["expected_effect"] == pytest.approx(0.12)
    assert (won["effect_n"], won["effect_metric"], won["effect_basis"]) == (2, "mention_rate", "prediction")
    assert won["low"] < 0.12 < won["high"]
    assert found.filter(pl.col("kind") == "prompt_gap")["expected_effect"].null_count() == 2


def test_memory_and_watching_inform_effect_probability_and_order() -> None:
    answers = panel({"p1": "Globex leads.", "p2": "Globex wins."}, "https://guide.example/x")
    watched = pl.DataFrame(
        {"recommendation_id": ["a", "b"], "kind": ["source_gap", "prompt_gap"], "metric": ["mention_rate"] * 2,
         "status": ["measured", "watching"], "effect": [0.08, 0.5], "std_error": [0.02, 0.1]}
    )  # fmt: skip
    pattern = {"pattern_id": "pat-1", "query_id": "q", "memory_ids": ["m"], "similarity": 0.9, "p_success": 0.6,
               "confidence": 0.9, "abstained": False, "action": "digital PR"}  # fmt: skip
    rows = [
        pattern,
        pattern | {"pattern_id": "pat-0", "confidence": 0.5},
        pattern | {"pattern_id": "pat-2", "abstained": True},
    ]
    patterns = pl.DataFrame(rows, schema=table("memory/patterns").columns)
    found = advise(answers=answers, past=studies_of_watching(watched), patterns=patterns)
    won = found.row(0, named=True)
    assert (won["kind"], won["source_pattern"], won["rule"]) == ("source_gap", "pat-1", "source_gap")
    assert won["value"] == pytest.approx(0.08 * 0.6 * 2)
    assert (won["effect_basis"], won["effect_n"]) == ("one outcome", 1)
    assert found.filter(pl.col("kind") == "prompt_gap")["expected_effect"].null_count() == 2  # still being watched


def next_ones_covered(rng: np.random.Generator, sizes: tuple[int, ...], spread: float) -> tuple[float, float]:
    """Share of 90 % intervals that hold the next action's true effect: ours, and without the spread between actions."""
    held = naive = total = 0
    for _ in range(400):
        studies, coming = past_actions(rng, sizes, between_kinds=0.03, between_actions=spread, error=0.03)
        effects = measured_effects(studies)
        for kind, true in coming.items():
            own = [study for study in studies if study.kind == kind]
            weights = np.array([1 / study.std_error**2 for study in own])
            mean = np.average([study.effect for study in own], weights=weights)
            held += effects[kind].low <= true <= effects[kind].high
            naive += abs(true - mean) <= 1.645 / np.sqrt(weights.sum())
            total += 1
    return held / total, naive / total


@pytest.mark.parametrize("sizes", [(1, 1, 2, 3), (1, 2, 8), (5, 5), (12,)])
def test_intervals_are_about_the_next_action_and_cover_it(sizes: tuple[int, ...]) -> None:
    held, naive = next_ones_covered(np.random.default_rng(3), sizes, 0.05)
    assert 0.83 < held < 0.96
    assert naive < 0.60  # what pooling without the variance between actions would promise


def test_one_outcome_alone_is_said_to_be_one() -> None:
    (effect,) = measured_effects([Study(kind="k", metric="m", effect=0.1, std_error=0.02, origin="o")]).values()
    assert (effect.basis, effect.spread, effect.n) == ("one outcome", None, 1)
    assert (effect.low, effect.high) == (
        pytest.approx(0.1 - 1.645 * 0.02, abs=1e-4),
        pytest.approx(0.1 + 1.645 * 0.02, abs=1e-4),
    )


def test_acted_advice_keeps_its_prompts_and_stays_until_it_has_been_watched() -> None:
    answers = panel({"p1": "Globex leads.", "p2": "Globex wins."}, "https://guide.example/x")
    first = with_status(with_history(advise(answers=answers), table("surfacing/recommendations").empty()), {}, DAY)
    assert set(first["status"]) == {"open"}
    identity = first.filter(pl.col("kind") == "source_gap")["recommendation_id"][0]
    acted = {identity: Acted(at=DAY + timedelta(days=3), how="ledger")}

    named = advise(answers=panel({"p1": "Acme leads.", "p2": "Globex."}, "https://guide.example/x"))
    second = with_status(with_history(named, first), acted, DAY + timedelta(days=10))
    row = second.filter(pl.col("recommendation_id") == identity).row(0, named=True)
    assert (row["status"], row["acted_how"], row["watch_prompts"]) == ("acted", "ledger", ["p1", "p2"])
    assert row["watch_until"] == (DAY + timedelta(days=3 + 63)).date()
    assert row["advised_at"] == DAY
    assert "p1" not in set(second.filter(pl.col("kind") == "prompt_gap")["target"])  # resolved, and nobody acted on it
    late = with_status(with_history(named, second), acted, DAY + timedelta(days=200))
    assert identity not in set(late["recommendation_id"])


def test_pages_are_watched_on_the_prompts_that_cite_them_or_are_about_them() -> None:
    bad = GOOD.replace("<h1>Boots</h1>", "")
    audit = audit_pages(
        pages(("https://acme.example/a", bad), ("https://acme.example/b", bad.replace("Boots for wet days", "Hammer repair"))),
        brand=ACME, weights=WEIGHTS, now=date(2025, 6, 1),
    )  # fmt: skip
    answers = panel({"p1": "x", "p2": "y"}, "https://acme.example/a?utm_source=z").with_columns(
        prompt=pl.when(pl.col("prompt_id") == "p2").then(pl.lit("Who does hammer repair?")).otherwise(pl.lit("Which?")),
        citations=pl.when(pl.col("prompt_id") == "p1")
        .then("citations")
        .otherwise(pl.lit([], dtype=pl.List(pl.String))),
    )
    found = advise(audit=audit, answers=answers).filter(pl.col("rule") == "audit:canonical_headings:exactly one h1")
    assert found["watch_prompts"].to_list() == [["p1", "p2"]]
    assert found["watch_metric"].to_list() == ["citation_rate"]


def test_every_kind_of_advice_has_its_evidence_and_none_rests_on_a_refuted_one() -> None:
    by_kind = catalogue().by_kind()
    assert set(GRADES) <= set(by_kind)
    assert all(by_kind[name].grade == grade for name, grade in GRADES.items())
    refuted = [action for action in catalogue().actions.values() if action.grade == "D"]
    assert all(source.holds != "yes" for action in refuted for source in action.sources)
    assert by_kind["answerability"].contradicted
    assert by_kind["answerability"].zero_sum


def test_shifts_become_advice_unless_they_are_someone_else_s_or_old() -> None:
    rows = [
        {"detected_at": DAY, "engine": "e", "kind": "engine", "brand": "all", "effect": 0.1, "p_value": 0.001},
        {"detected_at": DAY, "engine": "e", "kind": "brand", "brand": "Acme", "effect": -0.2, "p_value": 0.001},
        {"detected_at": DAY, "engine": "e", "kind": "brand", "brand": "Globex", "effect": -0.2, "p_value": 0.001},
        {"detected_at": datetime(2024, 1, 1, tzinfo=UTC), "engine": "e", "kind": "world", "brand": "all", "effect": None, "p_value": None},
    ]  # fmt: skip
    found = advise(shifts=pl.DataFrame(rows, schema=table("surfacing/shifts").columns))
    assert set(found["kind"]) == {"shift_engine", "shift_brand"}
    assert found.filter(pl.col("kind") == "shift_brand")["target"].to_list() == ["Acme"]


def test_a_client_without_a_brand_still_gets_its_page_advice() -> None:
    audit = audit_pages(
        pages(("https://acme.example/a", "<p>x</p>")), brand=None, weights=WEIGHTS, now=date(2025, 6, 1)
    )
    assert advise(audit=audit, brands=[]).height > 0
    assert Name(name="x").domains == ()
