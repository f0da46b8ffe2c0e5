"""What to do about visibility, each advice tied to what was measured and graded by the evidence for it."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import polars as pl

from liftos_pipelines.modules.surfacing.answer import parse_answer
from liftos_pipelines.modules.surfacing.audit import GRADES
from liftos_pipelines.modules.surfacing.outcomes import MeasuredEffect, measured_effects
from liftos_pipelines.modules.surfacing.robots import site_of
from liftos_pipelines.modules.surfacing.web import belongs_to
from liftos_pipelines.tables import ALL, table
from liftos_pipelines.text import Name

MIN_ANSWERS = 3
"""A prompt with fewer readable answers says too little to call it a gap."""
COMPETITOR_RATE = 0.5
MIN_SOURCE_PROMPTS = 2
MOST = 10
"""Most recommendations of one kind; the rest would not be read."""
RECENT_SHIFT = timedelta(days=90)

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "evidence": pl.String(),
    "support": pl.Int64(),
    "effect_metric": pl.String(),
    "effect_n": pl.Int64(),
}


def recommendations(
    *,
    audit: pl.DataFrame,
    mentions: pl.DataFrame,
    answers: pl.DataFrame,
    shifts: pl.DataFrame,
    outcomes: pl.DataFrame,
    brands: list[Name],
) -> pl.DataFrame:
    """The table `surfacing/recommendations`.

    From failed audit checks (per site and check), prompts whose answers name a competitor and never the brand,
    hosts that such answers cite, and recent shifts. `evidence_grade`: A machines cannot cite the page without
    it, B parsers and measured changes, C association only, D no effect found by studies. `expected_effect`
    comes from measured outcomes of the same kind of action alone; without any it is null: unknown.

    Parameters
    ----------
    audit, mentions, answers, shifts, outcomes : the tables of those names (empty where there is no source)
    brands : the client's brand first
    """
    contract = table("surfacing/recommendations")
    effects = measured_effects(outcomes)
    rows = _from_audit(audit)
    if brands and not mentions.is_empty():
        gaps = _prompt_gaps(mentions, answers, brands[0])
        rows += gaps
        rows += _source_gaps(mentions, answers, brands)
    rows += _from_shifts(shifts, brands[0].name if brands else None)
    complete = [_with_effect(row, effects) for row in rows]
    frame = pl.DataFrame(complete, schema=contract.columns | EXTRA_COLUMNS)
    return contract.conform(
        frame.unique("recommendation_id", keep="first", maintain_order=True).sort(
            "evidence_grade", pl.col("expected_effect").fill_null(0.0), "support", descending=[False, True, True]
        )
    )


def _recommend(
    kind: str, pattern: str, target: str, action: str, grade: str, evidence: str, support: int
) -> dict[str, object]:
    identity = hashlib.blake2b(f"{pattern}|{target}".encode(), digest_size=8).hexdigest()
    return {
        "recommendation_id": f"surfacing-{identity}",
        "target": target,
        "action": action,
        "evidence_grade": grade,
        "source_pattern": pattern,
        "kind": kind,
        "evidence": evidence,
        "support": support,
    }


def _with_effect(row: dict[str, object], effects: dict[str, MeasuredEffect]) -> dict[str, object]:
    effect = effects.get(str(row["kind"]))
    if effect is None:
        return row | {"expected_effect": None, "low": None, "high": None, "effect_metric": None, "effect_n": 0}
    return row | {
        "expected_effect": effect.effect,
        "low": effect.low,
        "high": effect.high,
        "effect_metric": effect.metric,
        "effect_n": effect.n,
    }


def _from_audit(audit: pl.DataFrame) -> list[dict[str, object]]:
    if audit.is_empty() or "failed" not in audit.columns:
        return []
    sites = audit.with_columns(site=pl.col("url").map_elements(site_of, return_dtype=pl.String))
    pages = dict(sites.group_by("site").agg(pl.col("url").n_unique()).iter_rows())
    failures = (
        sites.filter(pl.col("dimension").is_in(list(GRADES)))
        .explode("failed", empty_as_null=True)
        .filter(pl.col("failed").is_not_null())
        .with_columns(check=pl.col("failed").str.replace(r"\s*\(.*\)$", ""))
        .group_by("site", "dimension", "check")
        .agg(n=pl.col("url").n_unique(), example=pl.col("url").sort().first(), evidence=pl.col("evidence").first())
        .sort("n", "site", "dimension", "check", descending=[True, False, False, False])
    )
    rows = []
    for site, dimension, check, n, example, evidence in failures.iter_rows():
        rows.append(
            _recommend(
                kind=dimension,
                pattern=f"audit:{dimension}:{check}",
                target=site or example,
                action=f"Make this hold: {check} (fails on {n} of {pages[site]} pages, for example {example})",
                grade=GRADES[dimension],
                evidence=evidence,
                support=n,
            )
        )
    return rows


def _prompt_gaps(mentions: pl.DataFrame, answers: pl.DataFrame, brand: Name) -> list[dict[str, object]]:
    rates = (
        mentions.filter(pl.col("mentioned").is_not_null())
        .group_by("prompt_id", "brand")
        .agg(rate=pl.col("mentioned").cast(pl.Float64).mean(), n=pl.len())
    )
    own = rates.filter(pl.col("brand") == brand.name).select("prompt_id", "n", own="rate")
    rivals = (
        rates.filter(pl.col("brand") != brand.name)
        .sort("rate", "brand", descending=[True, False])
        .group_by("prompt_id", maintain_order=True)
        .agg(rival=pl.col("brand").first(), rate=pl.col("rate").first())
    )
    wording = answers.group_by("prompt_id").agg(prompt=pl.col("prompt").first())
    gaps = (
        own.join(rivals, on="prompt_id")
        .join(wording, on="prompt_id", how="left")
        .filter((pl.col("own") == 0) & (pl.col("n") >= MIN_ANSWERS) & (pl.col("rate") >= COMPETITOR_RATE))
        .sort("n", "rate", "prompt_id", descending=[True, True, False])
        .head(MOST)
    )
    return [
        _recommend(
            kind="prompt_gap",
            pattern="prompt_gap",
            target=prompt_id,
            action=f'Publish a page that answers "{prompt or prompt_id}": '
            f"assistants name {rival} there and never {brand.name}",
            grade="C",
            evidence=f"{brand.name} in 0 of {n} answers, {rival} in {rate:.0%}",
            support=n,
        )
        for prompt_id, n, _, rival, rate, prompt in gaps.select(
            "prompt_id", "n", "own", "rival", "rate", "prompt"
        ).iter_rows()
    ]


def _source_gaps(mentions: pl.DataFrame, answers: pl.DataFrame, brands: list[Name]) -> list[dict[str, object]]:
    """Hosts cited by answers that name a competitor but not the brand, more often than by those that name it."""
    brand = brands[0]
    named = mentions.filter(pl.col("mentioned")).group_by("answer_id").agg(brands=pl.col("brand"))
    by_answer = dict(named.iter_rows())
    domains = [domain for one in brands for domain in one.domains]
    without: dict[str, set[str]] = {}
    with_brand: dict[str, set[str]] = {}
    wanted = ("answer_id", "prompt_id", "text", "citations")
    for answer_id, prompt_id, text, citations in answers.select(wanted).iter_rows():
        present = by_answer.get(answer_id)
        if not present:
            continue
        into = with_brand if brand.name in present else without
        for host in set(parse_answer(text, citations).cited_pages.values()):
            if not belongs_to(host, domains):
                into.setdefault(host, set()).add(prompt_id)
    gaps = sorted(
        ((len(prompts), len(with_brand.get(host, ())), host) for host, prompts in without.items()),
        key=lambda gap: (-gap[0], gap[2]),
    )
    return [
        _recommend(
            kind="source_gap",
            pattern="source_gap",
            target=host,
            action=f"Get {brand.name} covered by {host}, which answers that name only competitors cite",
            grade="C",
            evidence=f"cited for {missing} prompts without {brand.name}, for {present} with it",
            support=missing,
        )
        for missing, present, host in gaps
        if missing >= MIN_SOURCE_PROMPTS and missing > present
    ][:MOST]


def _from_shifts(shifts: pl.DataFrame, brand: str | None) -> list[dict[str, object]]:
    if shifts.is_empty():
        return []
    newest = shifts["detected_at"].max()
    recent = shifts.filter(pl.col("detected_at") >= pl.lit(newest) - RECENT_SHIFT)
    rows = []
    for at, engine, kind, name, effect, p_value in recent.select(
        "detected_at", "engine", "kind", "brand", "effect", "p_value"
    ).iter_rows():
        where = "all engines" if engine == ALL else engine
        size = "unknown" if effect is None else f"{effect:+.1%}"
        if kind == "brand" and (name != brand or effect is None or effect >= 0):
            continue
        action = {
            "brand": f"Find what changed about {name} on {where} since {at:%d %b %Y}: its pages, its sources, its news",
            "engine": f"Re-read the prompts lost on {where} since {at:%d %b %Y} before changing any page",
            "world": f"Look for a market event before {at:%d %b %Y}: every engine changed at once",
            "own": f"Compare {where} before and after {at:%d %b %Y} on unchanged prompts only: the prompt set changed",
        }[kind]
        rows.append(
            _recommend(
                kind=f"shift_{kind}",
                pattern=f"shift:{kind}:{at:%Y-%m-%d}",
                target=name if kind == "brand" else where,
                action=action,
                grade="B",
                evidence=f"mention rate changed by {size}, p {p_value:.2g}",
                support=1,
            )
        )
    return rows
