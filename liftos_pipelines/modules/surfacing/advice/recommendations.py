"""What to do about visibility, each advice tied to what was measured, graded by the evidence for it, and watched.

No effect is invented: an expected effect is the client's own (`outcomes.measured_effects`), else it is unknown. The
grade and what studies found come from the evidence catalogue (`templates/evidence`), failed replications included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl

from liftos_pipelines.modules.surfacing.advice.insights import Insight
from liftos_pipelines.modules.surfacing.advice.outcomes import MeasuredEffect, Pattern
from liftos_pipelines.modules.surfacing.advice.watching import SETTLING, WINDOW, Acted, rule_of
from liftos_pipelines.modules.surfacing.answers.web import host_of, page_key
from liftos_pipelines.modules.surfacing.pages.audit import DIMENSIONS, GRADES
from liftos_pipelines.modules.surfacing.pages.robots import site_of
from liftos_pipelines.tables import ALL, table
from liftos_pipelines.text import words

MIN_ANSWERS = 3
"""A prompt with fewer readable answers says too little to call it a gap."""
MIN_SOURCE_PROMPTS = 2
MOST = 10
"""Most recommendations of one kind; the rest would not be read."""
RECENT_SHIFT = timedelta(days=90)
GRACE = timedelta(days=30)
ON_TOPIC = 2
"""Content words that a prompt and a page's title share before the page is taken to be about the prompt."""

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "rule": pl.String(),
    "evidence": pl.String(),
    "support": pl.Int64(),
    "prompts": pl.Int64(),
    "effect_metric": pl.String(),
    "effect_n": pl.Int64(),
    "effect_basis": pl.String(),
    "p_success": pl.Float64(),
    "value": pl.Float64(),
    "zero_sum": pl.Boolean(),
    "contradicted": pl.Boolean(),
    "studies": pl.String(),
    "test": pl.String(),
    "watch_metric": pl.String(),
    "watch_prompts": pl.List(pl.String()),
    "watch_until": pl.Date(),
    "status": pl.String(),
    "advised_at": pl.Datetime("us", "UTC"),
    "acted_at": pl.Datetime("us", "UTC"),
    "acted_how": pl.String(),
}
"""Beside the contract: `rule` is what made the advice, `source_pattern` memory's pattern where one informs the effect
(else the rule); `prompts` how many it concerns; `value` effect x probability of success x prompts where both are known;
`status` open or acted."""


class Evidence(Protocol):
    """What the recommendations read of the catalogue's actions (`templates.evidence.Action`)."""

    @property
    def grade(self) -> str: ...
    @property
    def zero_sum(self) -> bool: ...
    @property
    def contradicted(self) -> bool: ...
    @property
    def test(self) -> str: ...
    @property
    def sources(self) -> Sequence[object]: ...


def recommendations(
    *,
    audit: pl.DataFrame,
    prompt_gaps: pl.DataFrame,
    source_gaps: pl.DataFrame,
    answers: pl.DataFrame,
    shifts: pl.DataFrame,
    brand: str | None,
    evidence: Mapping[str, Evidence],
    effects: Mapping[str, MeasuredEffect],
    patterns: Mapping[str, Pattern],
    now: datetime,
    insights: Sequence[Insight] = (),
) -> pl.DataFrame:
    """The table `surfacing/recommendations`, as of `now` and without regard to earlier advice (see `with_history`).

    From failed audit checks (per site and check), prompts whose answers name a competitor and never the brand, sources
    that such answers cite, and recent shifts. Order: grade, then measured value where it is known, then how many
    prompts are concerned.

    Parameters
    ----------
    audit, prompt_gaps, source_gaps, answers, shifts : the tables of those names (empty where there is no source)
    evidence : kind of recommendation -> its entry in the catalogue; a kind without one keeps the audit's grade
    effects : kind -> what the client's own outcomes let one expect
    patterns : kind -> memory's newest pattern about it
    insights : what memory knows of like situations and Causal agrees with
    """
    contract = table("surfacing/recommendations")
    found = [
        *_from_audit(audit, answers),
        *_from_prompt_gaps(prompt_gaps, brand),
        *_from_source_gaps(source_gaps, prompt_gaps, answers, brand),
        *_from_shifts(shifts, answers, brand),
    ]
    rows = [_complete(row, evidence, effects, patterns, now) for row in found]
    rows += [from_insight(insight, now) for insight in insights]
    frame = pl.DataFrame(rows, schema=contract.columns | EXTRA_COLUMNS)
    return contract.conform(_ordered(frame.unique("recommendation_id", keep="first", maintain_order=True)))


def with_history(current: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Current advice and what was advised before, with a column `arises`: whether the reason for it is still there.

    Advice given before keeps the day it was first given and the prompts it is watched on: those must not be chosen anew
    once the answers have changed.
    """
    contract = table("surfacing/recommendations")
    columns = contract.columns | EXTRA_COLUMNS
    current = current.with_columns(arises=pl.lit(True))
    if earlier.is_empty() or not {"rule", "advised_at"} <= set(earlier.columns):
        return current
    # Advice that an earlier version gave may lack columns.
    earlier = earlier.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in columns.items() if name not in earlier.columns
    ).select(list(columns))
    first = earlier.select("recommendation_id", was_advised="advised_at", was_watched="watch_prompts")
    current = (
        current.join(first, on="recommendation_id", how="left")
        .with_columns(
            advised_at=pl.coalesce("was_advised", "advised_at"),
            watch_prompts=pl.coalesce("was_watched", "watch_prompts"),
        )
        .drop("was_advised", "was_watched")
    )
    gone = earlier.join(current, on="recommendation_id", how="anti").with_columns(arises=pl.lit(False))
    return pl.concat([current, gone.select(current.columns)], how="vertical_relaxed")


def with_status(advice: pl.DataFrame, acted: Mapping[str, Acted], now: datetime) -> pl.DataFrame:
    """Which advice is open and which was acted on; what neither arises nor is being watched any more is left out.

    Advice acted on stays, as `acted`, for `GRACE` after `watch_until`, also when its reason has gone; its outcome is in
    `surfacing/recommendation_outcomes`. What arises after that is open again.

    Parameters
    ----------
    advice : as `with_history` returns it
    """
    contract = table("surfacing/recommendations")
    rows = []
    for row in advice.iter_rows(named=True):
        arises, sign = row.pop("arises"), acted.get(row["recommendation_id"])
        until = None if sign is None else (sign.at + SETTLING + WINDOW).date()
        if sign is not None and until is not None and now.date() <= until + GRACE:
            row |= {"status": "acted", "acted_at": sign.at, "acted_how": sign.how, "watch_until": until}
        elif arises:
            row |= {"status": "open", "acted_at": None, "acted_how": None}
        else:
            continue
        rows.append(row)
    return contract.conform(_ordered(pl.DataFrame(rows, schema=contract.columns | EXTRA_COLUMNS)))


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(
        pl.col("status") == "acted", "evidence_grade", "value", "prompts", "support", "recommendation_id",
        descending=[False, False, True, True, True, False], nulls_last=True,
    )  # fmt: skip


def _recommend(
    kind: str, rule: str, target: str, action: str, evidence: str, support: int, watched: Sequence[str], metric: str
) -> dict[str, Any]:
    identity = hashlib.blake2b(f"{rule}|{target}".encode(), digest_size=8).hexdigest()
    return {
        "recommendation_id": f"surfacing-{identity}",
        "target": target,
        "action": action,
        "rule": rule,
        "kind": kind,
        "evidence": evidence,
        "support": support,
        "prompts": len(watched),
        "watch_metric": metric,
        "watch_prompts": sorted(watched),
    }


def _complete(
    row: dict[str, Any],
    evidence: Mapping[str, Evidence],
    effects: Mapping[str, MeasuredEffect],
    patterns: Mapping[str, Pattern],
    now: datetime,
) -> dict[str, Any]:
    kind = row["kind"]
    known, effect, pattern = evidence.get(kind), effects.get(kind), patterns.get(kind)
    reach = row["prompts"]
    value = effect.effect * pattern.p_success * reach if effect and pattern and reach else None
    return row | {
        "evidence_grade": known.grade if known else GRADES.get(kind),
        "zero_sum": known.zero_sum if known else None,
        "contradicted": known.contradicted if known else None,
        "studies": "; ".join(map(str, known.sources)) if known else None,
        "test": known.test if known else None,
        "source_pattern": pattern.pattern_id if pattern else row["rule"],
        "p_success": pattern.p_success if pattern else None,
        "expected_effect": effect.effect if effect else None,
        "low": effect.low if effect else None,
        "high": effect.high if effect else None,
        "effect_metric": effect.metric if effect else None,
        "effect_n": effect.n if effect else 0,
        "effect_basis": effect.basis if effect else None,
        "value": value,
        "watch_until": (now + SETTLING + WINDOW).date(),
        "status": "open",
        "advised_at": now,
        "acted_at": None,
        "acted_how": None,
    }


def from_insight(insight: Insight, now: datetime) -> dict[str, Any]:
    """Advice from what was learned in like situations; its pattern is cited, its effect is unknown: a chance of success
    is not an effect, and the catalogue grades studies of pages, which this is none of."""
    row = _recommend(
        kind="insight",
        rule=f"insight:{insight.insight_id}",
        target=insight.campaign_id or ALL,
        action=insight.recommendation,
        evidence=insight.evidence,
        support=insight.support,
        watched=(),
        metric="",
    )
    return _complete(row, {}, {}, {}, now) | {"source_pattern": insight.pattern_id, "p_success": insight.p_success}


def _from_audit(audit: pl.DataFrame, answers: pl.DataFrame) -> list[dict[str, Any]]:
    if audit.is_empty():
        return []
    sites = audit.with_columns(site=pl.col("url").map_elements(site_of, return_dtype=pl.String))
    pages = dict(sites.group_by("site").agg(pl.col("url").n_unique()).iter_rows())
    titles = dict(audit.select("url", "title").unique("url").iter_rows())
    failures = (
        sites.filter(pl.col("dimension").is_in(list(DIMENSIONS)))
        .explode("failed", empty_as_null=True)
        .filter(pl.col("failed").is_not_null())
        .group_by("site", "dimension", "failed")
        .agg(urls=pl.col("url").unique().sort(), evidence=pl.col("evidence").sort_by("url").first())
        .sort(pl.col("urls").list.len(), "site", "dimension", "failed", descending=[True, False, False, False])
    )
    about = _prompts_of_pages(answers, titles)
    rows = []
    for site, dimension, check, urls, evidence in failures.iter_rows():
        watched = sorted({prompt for url in urls for prompt in about.get(url, ())})
        rows.append(
            _recommend(
                kind=dimension,
                rule=rule_of(dimension, check),
                target=site or urls[0],
                action=f"Make this hold: {check} (fails on {len(urls)} of {pages[site]} pages, for example {urls[0]})",
                evidence=evidence,
                support=len(urls),
                watched=watched,
                metric="citation_rate",
            )
        )
    return rows


def _prompts_of_pages(answers: pl.DataFrame, titles: Mapping[str, str | None]) -> dict[str, set[str]]:
    """Page -> prompts it is about: whose answers cite it, else whose wording shares content words with its title."""
    if answers.is_empty() or not titles:
        return {}
    keys = {page_key(url): url for url in titles}
    cited: dict[str, set[str]] = {}
    links = answers.select("prompt_id", "citations").explode("citations").drop_nulls().unique()
    for prompt, link in links.iter_rows():
        url = keys.get(page_key(link))
        if url is not None:
            cited.setdefault(url, set()).add(prompt)
    wordings = [
        (prompt, _content_words(text))
        for prompt, text in answers.group_by("prompt_id").agg(pl.col("prompt").drop_nulls().last()).iter_rows()
    ]
    result = {}
    for url, title in titles.items():
        said = _content_words(title)
        result[url] = cited.get(url) or {prompt for prompt, asked in wordings if len(said & asked) >= ON_TOPIC}
    return result


def _content_words(text: str | None) -> set[str]:
    return {word for word in words(text or "") if len(word) > 3}


def _from_prompt_gaps(gaps: pl.DataFrame, brand: str | None) -> list[dict[str, Any]]:
    if gaps.is_empty():
        return []
    never = (
        gaps.filter((pl.col("engine") == ALL) & pl.col("never") & (pl.col("answers") >= MIN_ANSWERS))
        .sort("answers", "competitor_rate", "prompt_id", descending=[True, True, False])
        .head(MOST)
    )
    return [
        _recommend(
            kind="prompt_gap",
            rule="prompt_gap",
            target=prompt_id,
            action=f'Publish a page that answers "{prompt or prompt_id}": assistants name {rival} there and never '
            f"{brand or own}",
            evidence=f"{own} in 0 of {n} answers (90 % interval up to {high:.0%}), {rival} in {rate:.0%}",
            support=n,
            watched=[prompt_id],
            metric="mention_rate",
        )
        for prompt_id, prompt, own, n, high, rival, rate in never.select(
            "prompt_id", "prompt", "brand", "answers", "high", "competitor", "competitor_rate"
        ).iter_rows()
    ]


def _from_source_gaps(
    gaps: pl.DataFrame, missing: pl.DataFrame, answers: pl.DataFrame, brand: str | None
) -> list[dict[str, Any]]:
    """Sources cited more often where the brand is missing; not the brand's own pages, nor its competitors'."""
    if gaps.is_empty():
        return []
    wanted = (
        gaps.filter(
            (pl.col("engine") == ALL)
            & pl.col("owner").is_null()
            & (pl.col("prompts") >= MIN_SOURCE_PROMPTS)
            & (pl.col("lift").is_null() | (pl.col("lift") > 1))
        )
        .sort("answers", "prompts", "domain", descending=[True, True, False])
        .head(MOST)
    )
    without = set(missing.filter(pl.col("engine") == ALL)["prompt_id"])
    citing = _prompts_citing(answers.filter(pl.col("prompt_id").is_in(without)), wanted["domain"].to_list())
    rows = []
    for domain, prompts, count, share, beside in wanted.select(
        "domain", "prompts", "answers", "share", "share_when_named"
    ).iter_rows():
        other = "unknown" if beside is None else f"{beside:.0%}"
        rows.append(
            _recommend(
                kind="source_gap",
                rule="source_gap",
                target=domain,
                action=f"Get {brand or 'the brand'} covered by {domain}, which answers that name only competitors cite",
                evidence=f"cited by {count} answers to {prompts} prompts that name only competitors, {share:.0%} of "
                f"those, against {other} of the answers that name {brand or 'the brand'}",
                support=count,
                watched=sorted(citing.get(domain, ())),
                metric="mention_rate",
            )
        )
    return rows


def _prompts_citing(answers: pl.DataFrame, domains: Sequence[str]) -> dict[str, set[str]]:
    wanted = set(domains)
    found: dict[str, set[str]] = {}
    links = answers.select("prompt_id", "citations").explode("citations").drop_nulls().unique()
    for prompt, link in links.iter_rows():
        host = host_of(link)
        if host in wanted:
            found.setdefault(str(host), set()).add(prompt)
    for domain in wanted - set(found):  # cited in the text alone
        linked = answers.filter(pl.col("text").fill_null("").str.contains(domain, literal=True))
        found[domain] = set(linked["prompt_id"])
    return found


def _from_shifts(shifts: pl.DataFrame, answers: pl.DataFrame, brand: str | None) -> list[dict[str, Any]]:
    if shifts.is_empty():
        return []
    newest = shifts["detected_at"].max()
    recent = shifts.filter(pl.col("detected_at") >= pl.lit(newest) - RECENT_SHIFT)
    rows = []
    for at, engine, kind, name, effect, p_value in recent.select(
        "detected_at", "engine", "kind", "brand", "effect", "p_value"
    ).iter_rows():
        if kind == "brand" and (name != brand or effect is None or effect >= 0):
            continue
        where = "all engines" if engine == ALL else engine
        size = "unknown" if effect is None else f"{effect:+.1%}"
        action = {
            "brand": f"Find what changed about {name} on {where} since {at:%d %b %Y}: its pages, its sources, its news",
            "engine": f"Re-read the prompts lost on {where} since {at:%d %b %Y} before changing any page",
            "world": f"Look for a market event before {at:%d %b %Y}: every engine changed at once",
            "own": f"Compare {where} before and after {at:%d %b %Y} on unchanged prompts only: the prompt set changed",
        }.get(kind)
        if action is None:
            continue
        asked = answers if engine == ALL else answers.filter(pl.col("engine") == engine)
        rows.append(
            _recommend(
                kind=f"shift_{kind}",
                rule=f"shift:{kind}:{at:%Y-%m-%d}",
                target=name if kind == "brand" else where,
                action=action,
                evidence=f"mention rate changed by {size}, p " + ("unknown" if p_value is None else f"{p_value:.2g}"),
                support=1,
                watched=sorted(asked["prompt_id"].unique()),
                metric="mention_rate",
            )
        )
    return rows
