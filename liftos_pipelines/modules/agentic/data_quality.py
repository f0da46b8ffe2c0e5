"""Eight dimensions of the data that agents decide on, each a share of what could be counted, or unknown.

The dimensions, their weights and the gate are those of the original platform's data quality service; what each counts
is stated here. Accuracy needs somebody else's word for the same value: without one it is unknown, and the gate is too.
Intervals are Wilson (1927).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl

from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import Table, table

WEIGHTS: Mapping[str, float] = {
    "completeness": 0.20,
    "accuracy": 0.25,
    "consistency": 0.15,
    "validity": 0.15,
    "uniqueness": 0.10,
    "timeliness": 0.05,
    "relevance": 0.05,
    "integrity": 0.05,
}
OVERALL = "overall"
LEVELS = ((0.95, "excellent"), (0.85, "good"), (0.70, "fair"), (0.50, "poor"))
GATE, GATED = 0.85, {"completeness": 0.8, "accuracy": 0.8}
"""The overall score, and the two dimensions, that data must reach before an agent may rely on them."""
STEPS_WATCHED = 12
"""Timeliness looks at as many of the newest periods, at the source's own rhythm."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One source as it arrived.

    `set_aside` : rows in quarantine (file, row, column, reason, raw); `may_be_empty` : columns that need no
    value beside the contract's optional ones; `identical`, `restated`, `ignored` : what ingestion said of
    rows given twice, rows that a later file corrected, and columns nobody reads; None where it said nothing
    """

    dataset: str
    rows: pl.DataFrame
    set_aside: pl.DataFrame
    may_be_empty: frozenset[str] = frozenset()
    identical: int | None = None
    restated: int | None = None
    ignored: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Counted:
    """`good` of `n` things that were looked at; n = 0 says that there was nothing to look at, and `evidence` why."""

    good: int
    n: int
    evidence: str


REFERENCES: tuple[tuple[str, str, str, str], ...] = (
    ("sources/mentions", "campaign_id", "sources/campaigns", "campaign_id"),
    ("sources/outcomes", "campaign_id", "sources/campaigns", "campaign_id"),
    ("sources/experiments", "channel", "sources/marketing_media", "channel"),
    ("sources/campaigns", "channel", "sources/marketing_media", "channel"),
    ("sources/agent_steps", "agent_id", "sources/agents", "agent_id"),
)
"""Columns that name a row of another source."""

_Rule = tuple[str, Callable[[pl.DataFrame], pl.Series]]
CONSISTENT: Mapping[str, tuple[_Rule, ...]] = {
    "sources/experiments": (("start after end", lambda rows: rows["start"] <= rows["end"]),),
    "sources/campaigns": (("start after end", lambda rows: rows["start"] <= rows["end"]),),
    "sources/marketing_media": (
        (
            "money spent without exposure",
            lambda rows: ~((rows["spend"].fill_null(0) > 0) & (rows["exposure"].fill_null(0) == 0)),
        ),
    ),
    "sources/marketing_outcome": (
        ("revenue without outcome", lambda rows: ~((rows["revenue"].fill_null(0) > 0) & (rows["outcome"] == 0))),
    ),
    "sources/llm_calls": (
        (
            "neither an output nor an error",
            lambda rows: (rows["output"].fill_null("") != "") | (rows["error"].fill_null("") != ""),
        ),
    ),
    "sources/agent_steps": (
        (
            "a step earlier than the one before it",
            lambda rows: rows.select(
                (pl.col("at").diff().over("run_id", order_by="step") >= timedelta()).fill_null(True)
            ).to_series(),
        ),
        ("a tool call without a tool", lambda rows: (rows["kind"] != "tool_call") | rows["tool"].is_not_null()),
    ),
}
"""What the columns of one row, or of one run, must not say against each other."""


def data_quality(
    received: Sequence[Received], now: datetime, confirmed: Mapping[str, tuple[int, int, str]] | None = None
) -> pl.DataFrame:
    """One row a source and dimension, and one for the whole (`overall`) (table `agentic/data_quality`).

    Parameters
    ----------
    now : UTC; timeliness is counted back from here
    confirmed : of a source, how many values an independent word confirmed, how many it was asked for, and whose word
    """
    frames = {each.dataset: each.rows for each in received}
    rows: list[dict[str, object]] = []
    for each in received:
        if each.rows.is_empty() and each.set_aside.is_empty():
            continue
        counted = {
            "completeness": completeness(each),
            "accuracy": accuracy(each, (confirmed or {}).get(each.dataset)),
            "consistency": consistency(each),
            "validity": validity(each),
            "uniqueness": uniqueness(each),
            "timeliness": timeliness(each, now),
            "relevance": relevance(each),
            "integrity": integrity(each, frames),
        }
        scores = {name: found.good / found.n if found.n else None for name, found in counted.items()}
        rows += [_row(each.dataset, name, found) for name, found in counted.items()]
        rows.append(_overall(each.dataset, scores))
    return pl.DataFrame(rows, schema=table("agentic/data_quality").columns)


def completeness(received: Received) -> Counted:
    """Required cells that are filled, among the rows kept and those set aside for an empty cell."""
    contract = table(received.dataset)
    required = [name for name in contract.columns if name not in contract.optional | received.may_be_empty]
    empty = int(sum(received.rows[name].null_count() for name in required))
    refused = received.set_aside.filter(
        pl.col("column").is_in(required) & pl.col("reason").str.contains("is empty", literal=True)
    ).height
    cells = (received.rows.height + refused) * len(required)
    return Counted(cells - empty - refused, cells, f"{empty + refused} of {cells} required cells are empty")


def accuracy(received: Received, confirmed: tuple[int, int, str] | None) -> Counted:
    """Values that an independent word confirms, or rows that a later file of the same source did not correct."""
    if confirmed is not None and confirmed[1]:
        good, asked, whose = confirmed
        return Counted(good, asked, f"{good} of {asked} values agree with {whose}")
    if received.restated:
        n = received.rows.height
        good = max(0, n - received.restated)
        return Counted(good, n, f"{received.restated} of {n} rows were corrected by a later file")
    return Counted(0, 0, "nobody else's word for these values is at hand")


def consistency(received: Received) -> Counted:
    """Rows whose columns do not speak against each other."""
    rules = CONSISTENT.get(received.dataset, ())
    if not rules or received.rows.is_empty():
        return Counted(0, 0, "no rule over several columns concerns this source")
    broken = {says: int((~holds(received.rows).fill_null(True)).sum()) for says, holds in rules}
    n = received.rows.height * len(rules)
    wrong = sum(broken.values())
    told = "; ".join(f"{says}: {times}" for says, times in broken.items() if times)
    return Counted(n - wrong, n, told or f"no row of {received.rows.height} speaks against itself")


def validity(received: Received) -> Counted:
    """Rows that could be read and typed."""
    kept = received.rows.height
    aside = received.set_aside.select("file", "row").unique().height
    return Counted(kept, kept + aside, f"{aside} of {kept + aside} rows were set aside")


def uniqueness(received: Received) -> Counted:
    """Rows that were given once."""
    if received.identical is None:
        return Counted(0, 0, "ingestion did not say how many rows were given twice")
    n = received.rows.height + received.identical
    return Counted(received.rows.height, n, f"{received.identical} of {n} rows were given twice")


def timeliness(received: Received, now: datetime) -> Counted:
    """Of the newest periods at the source's own rhythm, those that arrived."""
    column = next((name for name in _moments(table(received.dataset)) if name in received.rows.columns), None)
    days = sorted(received.rows[column].cast(pl.Date).drop_nulls().unique().to_list()) if column else []
    if len(days) < 3:
        return Counted(0, 0, "no rhythm: fewer than three dates")
    gaps = sorted((later - earlier).days for earlier, later in pairwise(days))
    step = max(1, gaps[len(gaps) // 2])
    today = now.date()
    have = set(days)
    arrived = sum(
        any(today - timedelta(days=step * k + offset) in have for offset in range(1, step + 1))
        for k in range(STEPS_WATCHED)
    )
    age = (today - days[-1]).days
    rhythm = "day" if step == 1 else f"{step} days"
    return Counted(
        arrived,
        STEPS_WATCHED,
        f"newest row {age} days old; one period is {rhythm}, {arrived} of the last {STEPS_WATCHED} arrived",
    )


def relevance(received: Received) -> Counted:
    """Columns of the file that something here reads."""
    if received.ignored is None:
        return Counted(0, 0, "ingestion did not say which columns nobody reads")
    filled = received.rows.height
    read = sum(received.rows[name].null_count() < filled for name in table(received.dataset).columns)
    n = read + len(received.ignored)
    nobody = f"nobody reads {', '.join(received.ignored[:5])}" if received.ignored else "every column is read"
    return Counted(read, n, nobody)


def integrity(received: Received, frames: Mapping[str, pl.DataFrame]) -> Counted:
    """Names of other sources' rows that exist there."""
    good = asked = 0
    told = []
    for dataset, column, other, key in REFERENCES:
        known = frames.get(other)
        if dataset != received.dataset or known is None or known.is_empty():
            continue
        named = received.rows[column].drop_nulls()
        found = int(named.is_in(known[key].drop_nulls().unique().to_list()).sum())
        good, asked = good + found, asked + named.len()
        if found < named.len():
            lost = named.filter(~named.is_in(known[key].drop_nulls().unique().to_list())).unique().sort().head(3)
            told.append(f"{column} not in {other}: {', '.join(map(str, lost))}")
    if not asked:
        return Counted(0, 0, "it names no row of another source")
    return Counted(good, asked, "; ".join(told) or f"all {asked} names are known")


def _moments(contract: Table) -> list[str]:
    return [name for name, kind in contract.columns.items() if kind == pl.Date or isinstance(kind, pl.Datetime)]


def _row(dataset: str, dimension: str, found: Counted) -> dict[str, object]:
    score = found.good / found.n if found.n else None
    low, high = wilson_interval(found.good, found.n) if found.n else (None, None)
    return {
        "dataset": dataset,
        "dimension": dimension,
        "score": score,
        "low": low,
        "high": high,
        "n": found.n,
        "weight": WEIGHTS[dimension],
        "level": level(score),
        "status": _status(score, GATED.get(dimension)),
        "evidence": found.evidence,
    }


def _overall(dataset: str, scores: Mapping[str, float | None]) -> dict[str, object]:
    """The weighted mean over what is known, its weights summing to 1; the gate asks for what the gate names as well."""
    known = {name: score for name, score in scores.items() if score is not None}
    weight = sum(WEIGHTS[name] for name in known)
    score = sum(WEIGHTS[name] * value for name, value in known.items()) / weight if weight else None
    failed = [name for name, least in GATED.items() if (value := scores[name]) is not None and value < least]
    unknown = [name for name in GATED if scores[name] is None]
    if score is None:
        status = "unknown"
    elif score < GATE or failed:
        status = "fail"
    else:
        status = "unknown" if unknown else "pass"
    missing = [name for name in WEIGHTS if name not in known]
    said = f"over {weight:.0%} of the weight; unknown: {', '.join(missing)}" if missing else "all eight are known"
    return {
        "dataset": dataset,
        "dimension": OVERALL,
        "score": score,
        "low": None,
        "high": None,
        "n": len(known),
        "weight": weight,
        "level": level(score),
        "status": status,
        "evidence": said + (f"; below the gate: {', '.join(failed)}" if failed else ""),
    }


def level(score: float | None) -> str:
    """In words: excellent from .95, good from .85, fair from .70, poor from .50, critical below; `unknown` for None."""
    if score is None:
        return "unknown"
    return next((name for least, name in LEVELS if score >= least), "critical")


def _status(score: float | None, least: float | None) -> str:
    if score is None:
        return "unknown"
    if least is None:
        return "pass" if score >= LEVELS[-1][0] else "fail"
    return "pass" if score >= least else "fail"
