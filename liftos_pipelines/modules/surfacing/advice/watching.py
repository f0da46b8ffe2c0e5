"""Was advice acted on, and what changed on the prompts it was about: watched against the other prompts.

For each action, each watched prompt's rate before and after is compared with prompts that nobody acted on (difference
in differences, one number a prompt). Prompts are often chosen because the brand was missing there, and would rise by
themselves; the comparison is therefore with what prompts that started where these did went on to do (ANCOVA on the rate
before, Lord 1967; Van Breukelen 2006), not with the plain difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.surfacing.pages.robots import site_of
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import table

WINDOW = timedelta(days=56)
"""Compared before and after the action."""
SETTLING = timedelta(days=7)
"""After the action engines still answer from what they fetched before."""
MIN_ANSWERS = 3
"""Answers a prompt and engine need on each side."""
MIN_CONTROLS = 8
FEW_WATCHED = 8
"""Below this the watched prompts cannot tell how prompts differ: the control prompts do (Conley and Taber 2011)."""
LEVEL = 0.90
METRICS = {"mention_rate": "mentioned", "citation_rate": "cited"}
"""Metric -> column of `surfacing/answer_mentions` that it averages."""
_IDENTITY = re.compile(r"surfacing-[0-9a-f]{16}")

EXTRA_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "action": pl.String(),
    "p_value": pl.Float64(),
    "rate_before": pl.Float64(),
    "answers": pl.Int64(),
    "reason": pl.String(),
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What changed on watched prompts beyond the others: in points of the metric, with a 90 % interval.

    `reason` says why nothing could be measured, and is None where something was.
    """

    effect: float | None = None
    low: float | None = None
    high: float | None = None
    std_error: float | None = None
    p_value: float | None = None
    rate_before: float | None = None
    n_watched: int = 0
    n_control: int = 0
    answers: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Acted:
    """When a recommendation was acted on, and how that is known: outcome, ledger or audit."""

    at: datetime
    how: str


def acted_on(
    recommendations: pl.DataFrame,
    *,
    outcomes: pl.DataFrame,
    ledger: Iterable[tuple[datetime, str]],
    audit: pl.DataFrame,
) -> dict[str, Acted]:
    """Recommendation -> its first sign of having been acted on.

    Signs are an outcome whose id, context or action names the recommendation's id; a ledger entry of an action that
    does; and a check that failed in one page audit and passes in a later one.

    Parameters
    ----------
    recommendations : advice with its history (`with_history`); signs from before it was given do not count
    ledger : time and text of entries about actions taken
    """
    signs: dict[str, list[Acted]] = {}
    texts = outcomes.select(
        "decided_at", pl.concat_str("outcome_id", "context", "action", separator=" ", ignore_nulls=True)
    )
    for how, said in (("outcome", texts.iter_rows()), ("ledger", iter(ledger))):
        for at, text in said:
            for identity in _IDENTITY.findall(text or ""):
                signs.setdefault(identity, []).append(Acted(at=at, how=how))
    fixes = _fixes(audit)
    found = {}
    for identity, rule, target, advised in recommendations.select(
        "recommendation_id", "rule", "target", "advised_at"
    ).iter_rows():
        ways = list(signs.get(identity, []))
        if (rule, target) in fixes:
            # Between the audit that saw it fail and the one that saw it pass: known to be done by then.
            ways.append(Acted(at=datetime.combine(fixes[rule, target], time(), tzinfo=UTC), how="audit"))
        ways = [way for way in ways if way.at.date() >= advised.date()]
        if ways:
            found[identity] = min(ways, key=lambda way: way.at)
    return found


def measure_change(
    rates: pl.DataFrame, watched: Sequence[str], *, at: datetime, not_controls: Sequence[str] = (), seed: int = 0
) -> Change:
    """The change on `watched` prompts after `at` beyond that on the other prompts.

    Parameters
    ----------
    rates : one row an answer: `prompt_id`, `engine`, `asked_at`, `value` (0 or 1)
    not_controls : prompts that something else was done about; they are in neither group
    seed : of the resampling of control prompts, where few prompts are watched

    Each prompt counts once, however often it was asked: per engine its rate after and before, averaged over the engines
    that were asked often enough on both sides.
    """
    per_prompt = _before_after(rates, at)
    mine = per_prompt.filter(pl.col("prompt_id").is_in(list(watched)))
    others = per_prompt.filter(~pl.col("prompt_id").is_in([*watched, *not_controls]))
    answers = int(per_prompt["answers"].sum()) if per_prompt.height else 0
    counts: dict[str, Any] = {"n_watched": mine.height, "n_control": others.height, "answers": answers}
    if mine.is_empty():
        return Change(reason=f"no watched prompt has {MIN_ANSWERS} answers of one engine before and after", **counts)
    if others.height < MIN_CONTROLS:
        return Change(reason=f"{others.height} prompts to compare with, {MIN_CONTROLS} are needed", **counts)
    before, after = (mine[name].to_numpy() for name in ("before", "after"))
    control_before, control_after = (others[name].to_numpy() for name in ("before", "after"))
    effect, std_error, low, high, p_value = _ancova(before, after, control_before, control_after, seed)
    return Change(
        effect=effect,
        low=low,
        high=high,
        std_error=std_error,
        p_value=p_value,
        rate_before=float(before.mean()),
        **counts,
    )


def answer_values(mentions: pl.DataFrame, answers: pl.DataFrame, brand: str, metric: str) -> pl.DataFrame:
    """One row an answer about the brand: prompt_id, engine, asked_at, value; unreadable answers are not there."""
    column = METRICS[metric]
    return (
        mentions.filter((pl.col("brand") == brand) & pl.col(column).is_not_null())
        .select("answer_id", "prompt_id", "engine", value=pl.col(column).cast(pl.Float64))
        .join(answers.select("answer_id", "asked_at"), on="answer_id")
        .drop("answer_id")
    )


def recommendation_outcomes(
    acted: pl.DataFrame, mentions: pl.DataFrame, answers: pl.DataFrame, *, brand: str | None, now: datetime
) -> pl.DataFrame:
    """The table `surfacing/recommendation_outcomes`: what changed after each recommendation that was acted on.

    `status` is `measured` once the window has passed, `watching` before (with what is known so far), and `unknown` with
    a `reason` where the answers cannot tell. An action on other prompts in the same months takes those out of the
    comparison.

    Parameters
    ----------
    acted : rows of `surfacing/recommendations` with `acted_at`, newest advice included
    """
    contract = table("surfacing/recommendation_outcomes")
    rows = []
    values: dict[str, pl.DataFrame] = {}
    spans = {
        row["recommendation_id"]: (row["acted_at"], row["watch_prompts"] or []) for row in acted.iter_rows(named=True)
    }
    for row in acted.iter_rows(named=True):
        metric, at = row["watch_metric"], row["acted_at"]
        if metric not in values and brand is not None:
            values[metric] = answer_values(mentions, answers, brand, metric)
        if brand is None:
            change = Change(reason="no brand configured")
        elif not row["watch_prompts"]:
            change = Change(reason="no prompt is known that this is about")
        else:
            change = measure_change(
                values[metric], row["watch_prompts"], at=at,
                not_controls=_others(spans, row["recommendation_id"], at), seed=_seed(row["recommendation_id"]),
            )  # fmt: skip
        over = now >= at + SETTLING + WINDOW
        rows.append(
            {
                "recommendation_id": row["recommendation_id"],
                "acted_at": at,
                "how": row["acted_how"],
                "metric": metric,
                "status": "unknown" if change.effect is None else "measured" if over else "watching",
                "effect": change.effect,
                "low": change.low,
                "high": change.high,
                "std_error": change.std_error,
                "n_watched": change.n_watched,
                "n_control": change.n_control,
                "watch_until": (at + SETTLING + WINDOW).date(),
                "kind": row["kind"],
                "action": row["action"],
                "p_value": change.p_value,
                "rate_before": change.rate_before,
                "answers": change.answers,
                "reason": change.reason if over or change.effect is None else "the window has not passed yet",
            }
        )
    return contract.conform(pl.DataFrame(rows, schema=contract.columns | EXTRA_COLUMNS))


def _before_after(rates: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """prompt_id, before, after, answers: rates of the prompts asked often enough on both sides."""
    start = at + SETTLING
    side = (
        pl.when(pl.col("asked_at").is_between(at - WINDOW, at, closed="left"))
        .then(pl.lit("before"))
        .when(pl.col("asked_at").is_between(start, start + WINDOW, closed="left"))
        .then(pl.lit("after"))
    )
    cells = (
        rates.with_columns(side=side)
        .filter(pl.col("side").is_not_null())
        .group_by("prompt_id", "engine")
        .agg(
            before=pl.col("value").filter(pl.col("side") == "before").mean(),
            after=pl.col("value").filter(pl.col("side") == "after").mean(),
            fewest=pl.min_horizontal((pl.col("side") == "before").sum(), (pl.col("side") == "after").sum()),
            answers=pl.len(),
        )
        .filter(pl.col("fewest") >= MIN_ANSWERS)
    )
    return cells.group_by("prompt_id").agg(pl.col("before", "after").mean(), pl.col("answers").sum()).sort("prompt_id")


def _ancova(
    before: FloatArray, after: FloatArray, control_before: FloatArray, control_after: FloatArray, seed: int
) -> tuple[float, float, float, float, float]:
    """(effect, standard error, low, high, p): watched beyond what the controls' line from before to after says."""
    n, k = len(before), len(control_before)
    centre = control_before.mean()
    spread = float(((control_before - centre) ** 2).sum())
    slope = float(((control_before - centre) * control_after).sum() / spread) if spread > 0 else 0.0
    slope = float(np.clip(slope, 0.0, 1.0))
    residuals = control_after - control_after.mean() - slope * (control_before - centre)
    own = after - control_after.mean() - slope * (before - centre)
    effect = float(own.mean())
    variance = float((residuals**2).sum()) / max(k - 2, 1)
    line = variance * (1 / k + ((before.mean() - centre) ** 2 / spread if spread > 0 else 0.0))
    if n >= FEW_WATCHED:
        watched = float(own.var(ddof=1)) / n
        std_error = float(np.sqrt(watched + line))
        df = (watched + line) ** 2 / (watched**2 / (n - 1) + line**2 / max(k - 2, 1)) if watched + line > 0 else k - 2.0
        half = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * std_error
        p_value = float(2 * stats.t.sf(abs(effect) / std_error, df)) if std_error > 0 else float(effect == 0)
        return effect, std_error, effect - half, effect + half, p_value
    # Few watched prompts: what a mean of as many control prompts does by chance, near where the watched ones began.
    near = np.argsort(np.abs(control_before - before.mean()), kind="stable")[: max(k // 2, min(k, 4 * MIN_CONTROLS))]
    pool = residuals[near] * np.sqrt(k / max(k - 2, 1))
    rng = np.random.default_rng(seed)
    drawn = rng.choice(pool, size=(4_000, n)).mean(axis=1) + rng.normal(0.0, np.sqrt(line), 4_000)
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    p_value = float((1 + (np.abs(drawn - drawn.mean()) >= abs(effect - drawn.mean())).sum()) / 4_001)
    return effect, float(drawn.std()), effect - float(high), effect - float(low), p_value


def _others(spans: Mapping[str, tuple[datetime, list[str]]], identity: str, at: datetime) -> list[str]:
    reach = WINDOW + SETTLING
    return [
        prompt
        for other, (moment, prompts) in spans.items()
        if other != identity and abs(moment - at) <= reach
        for prompt in prompts
    ]


def _fixes(audit: pl.DataFrame) -> dict[tuple[str, str], date]:
    """(rule, site) -> the first day a failing check was seen to pass."""
    if audit.is_empty():
        return {}
    rows = audit.select("url", "dimension", "fixed").explode("fixed", empty_as_null=True).drop_nulls("fixed")
    found: dict[tuple[str, str], date] = {}
    for url, dimension, fix in rows.iter_rows():
        key = (rule_of(dimension, fix["check"]), site_of(url) or url)
        found[key] = min(fix["on"], found.get(key, fix["on"]))
    return found


def rule_of(dimension: str, check: str) -> str:
    """The name of an audit check as a reason for advice; what is in brackets may change with its threshold."""
    return f"audit:{dimension}:{re.sub(r' *[(].*[)]$', '', check)}"


def _seed(identity: str) -> int:
    return int(identity.rsplit("-", 1)[-1], 16) % 2**32 if _IDENTITY.fullmatch(identity) else 0
