"""Which prompt version or model to try next in a use case: by experiment, by what served best, by what memory measured.

Only what was measured is suggested, with the grade of its evidence; a difference whose interval holds zero is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.llm.experiments.measured import METRICS
from liftos_pipelines.modules.llm.versions.arms import LOGGED, USE_CASE
from liftos_pipelines.modules.llm.versions.leaderboard import ARM
from liftos_pipelines.tables import table

GRADES = ("experiment", "observed", "memory")
"""Randomised here; served here at different times; measured here in another, similar use case. The strongest first."""
_SIGN = {metric.name: metric.sign for metric in METRICS}
_Z90 = 1.6448536269514722


@dataclass(frozen=True, kw_only=True)
class Precedent:
    """A memory of something measured in a similar use case; `likeness` as recall scores it."""

    use_case: str
    memory_id: str
    action: str
    metric: str
    effect: float
    std_error: float
    likeness: float
    context: str = ""


def serving(calls: pl.DataFrame) -> dict[str, tuple[str, str, str]]:
    """By use case, the prompt, version and model of its newest calls. `calls` : of `prepared(with_metrics(...))`."""
    newest = calls.sort("called_at", "call_id").group_by(USE_CASE, maintain_order=True).last()
    return {row[0]: (row[1], row[2], row[3]) for row in newest.select(USE_CASE, *ARM).iter_rows()}


def suggestions(
    serving_now: Mapping[str, tuple[str, str, str]],
    ranked: pl.DataFrame,
    experiments: pl.DataFrame,
    precedents: Iterable[Precedent] = (),
) -> pl.DataFrame:
    """The `llm/suggestions` table, strongest evidence first.

    Parameters
    ----------
    serving_now : by use case, (prompt, version, model); ranked : `llm/leaderboard`; experiments : `llm/experiments`
    """
    contract = table("llm/suggestions")
    rows = [*_from_experiments(experiments), *_from_ranks(serving_now, ranked), *_from_memory(precedents)]
    frame = pl.DataFrame(rows, schema=contract.columns)
    order = pl.col("evidence_grade").replace_strict({grade: place for place, grade in enumerate(GRADES)})
    return frame.sort(order, "use_case", "metric").unique("suggestion_id", keep="first", maintain_order=True)


def _from_experiments(experiments: pl.DataFrame) -> list[dict[str, object]]:
    shipped = experiments.filter(pl.col("decision") == "ship_b")
    return [
        _row(
            use_case=str(row["experiment"]),
            kind="prompt",
            what=f"use {row['variant_b']} instead of {row['variant_a']}",
            metric=row["metric"],
            told=(row["estimate"], row["low"], row["high"]),
            grade="experiment",
            evidence=f"experiment {row['experiment']}: {row['n_b']} against {row['n_a']} calls",
        )
        for row in shipped.iter_rows(named=True)
    ]


def _from_ranks(serving_now: Mapping[str, tuple[str, str, str]], ranked: pl.DataFrame) -> list[dict[str, object]]:
    """Another version that is first beyond chance, while the one that serves is surely not."""
    rows = []
    for (use_case, metric), group in ranked.drop_nulls("rank").group_by("use_case", "metric", maintain_order=True):
        arms = {tuple(row[name] for name in ARM): row for row in group.iter_rows(named=True)}
        now = serving_now.get(str(use_case))
        first = next((keys for keys, row in arms.items() if row["rank"] == 1), None)
        if now is None or first is None or first == now or now not in arms:
            continue
        best, current = arms[first], arms[now]
        if current["rank_low"] == 1:
            continue
        kind, what = _change(now, first)
        rows.append(
            _row(
                use_case=str(use_case),
                kind=kind,
                what=what,
                metric=str(metric),
                told=_difference(str(metric), best, current),
                grade="observed",
                evidence=f"rank {best['rank_low']} to {best['rank_high']} of {group.height} by {best['n']} calls; what "
                f"serves has rank {current['rank_low']} to {current['rank_high']} by {current['n']}",
            )
        )
    return rows


def _from_memory(precedents: Iterable[Precedent]) -> list[dict[str, object]]:
    """What helped elsewhere: measured, better than nothing beyond chance, and in a context like this one."""
    rows = []
    for each in precedents:
        half = _Z90 * each.std_error
        better = _SIGN.get(each.metric)
        if better is None or not better * each.effect - half > 0:
            continue
        rows.append(
            _row(
                use_case=each.use_case,
                kind="precedent",
                what=each.action,
                metric=each.metric,
                told=(each.effect, each.effect - half, each.effect + half),
                grade="memory",
                evidence=f"memory {each.memory_id}, likeness {each.likeness:.2f}: {each.context}".rstrip(": "),
            )
        )
    return rows


def _change(now: Sequence[str], then: Sequence[str]) -> tuple[str, str]:
    (prompt, version, model), (other_prompt, other_version, other_model) = now, then
    if (prompt, version) == (other_prompt, other_version):
        return "model", f"run {prompt} {version} on {other_model} instead of {model}"
    target = f"{other_prompt} {other_version}" + ("" if model == other_model else f" on {other_model}")
    return ("prompt" if model == other_model else "prompt and model"), f"use {target} instead of {prompt} {version}"


def _difference(
    metric: str, best: Mapping[str, float], current: Mapping[str, float]
) -> tuple[float, float | None, float | None]:
    """Best minus current with its 90 % interval from the two; relative for amounts on a scale of ratios."""
    read = np.log if metric in LOGGED else lambda value: value
    values = [(read(arm["value"]), read(arm["low"]), read(arm["high"])) for arm in (best, current)]
    difference = float(values[0][0] - values[1][0])
    half = float(np.hypot(*((high - low) / 2 for _, low, high in values)))
    told = (difference, difference - half, difference + half)
    return tuple(float(np.expm1(value)) for value in told) if metric in LOGGED else told  # type: ignore[return-value]


def _row(
    *,
    use_case: str,
    kind: str,
    what: str,
    metric: str,
    told: tuple[float, float | None, float | None],
    grade: str,
    evidence: str,
) -> dict[str, object]:
    return {
        "suggestion_id": hashlib.sha256(f"{use_case}|{kind}|{what}|{metric}".encode()).hexdigest()[:32],
        "use_case": use_case,
        "kind": kind,
        "suggestion": what,
        "metric": metric,
        "expected_effect": told[0],
        "low": told[1],
        "high": told[2],
        "evidence_grade": grade,
        "evidence": evidence,
    }
