"""Advice: tied to what was measured, graded, and without an effect that nobody measured."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.modules.surfacing import answer_mentions, audit_pages, recommendations
from liftos_pipelines.modules.surfacing.outcomes import measured_effects
from liftos_pipelines.tables import table
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


def advise(**frames: object) -> pl.DataFrame:
    names = {"audit": "surfacing/page_audit", "mentions": "surfacing/answer_mentions", "answers": "sources/answers",
             "shifts": "surfacing/shifts", "outcomes": "sources/outcomes"}  # fmt: skip
    empty: dict[str, object] = {argument: table(name).empty() for argument, name in names.items()}
    result = recommendations(**(empty | {"brands": BRANDS} | frames))  # type: ignore[arg-type]
    return table("surfacing/recommendations").conform(result)


def test_nothing_measured_gives_no_advice() -> None:
    assert advise().is_empty()


def test_gaps_are_prompts_and_sources_where_only_competitors_appear() -> None:
    answers = panel(
        {"p1": "Globex leads.", "p2": "Globex wins.", "p3": "Acme and Globex.", "p4": "Nobody."},
        "https://guide.example/x",
    )
    found = advise(answers=answers, mentions=answer_mentions(answers, BRANDS))
    assert set(found.filter(pl.col("kind") == "prompt_gap")["target"]) == {"p1", "p2"}
    assert found.filter(pl.col("kind") == "source_gap")["target"].to_list() == ["guide.example"]
    assert set(found["evidence_grade"]) == {"C"}
    assert found["expected_effect"].null_count() == found.height


def test_a_competitor_s_own_site_is_not_a_source_to_win() -> None:
    answers = panel({"p1": "Globex leads.", "p2": "Globex wins."}, "https://www.globex.example/x")
    found = advise(answers=answers, mentions=answer_mentions(answers, BRANDS))
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
    found = advise(answers=answers, mentions=answer_mentions(answers, BRANDS), outcomes=past)
    won = found.filter(pl.col("kind") == "source_gap").row(0, named=True)
    assert won["expected_effect"] == pytest.approx(0.12)
    assert (won["effect_n"], won["effect_metric"]) == (2, "mention_rate")
    assert won["low"] < 0.12 < won["high"]
    assert found.filter(pl.col("kind") == "prompt_gap")["expected_effect"].null_count() == 2


def test_pooled_intervals_cover_when_effects_differ_between_outcomes() -> None:
    rng = np.random.default_rng(3)
    held = fixed = 0
    for _ in range(300):
        true = rng.normal(0.1, 0.05, 12)
        seen = rng.normal(true, 0.02)
        rows = [("refresh content", "mention_rate", float(value), 0.02, "surfacing") for value in seen]
        effect = measured_effects(outcomes(*rows))["freshness"]
        held += effect.low <= 0.1 <= effect.high
        fixed += abs(seen.mean() - 0.1) <= 1.645 * 0.02 / np.sqrt(12)
    assert held / 300 > 0.83
    assert fixed / 300 < 0.65  # what pooling without the variance between outcomes would promise


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
