"""Trust scores: every promise measured, judged, aged; rolled up per module without hiding a broken one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from scipy import stats

from liftos_pipelines.modules.eval import measure
from liftos_pipelines.modules.eval.measure import FORMULA_VERSION, Measurement, probability_met
from liftos_pipelines.modules.eval.metrics import Scope, apply
from liftos_pipelines.modules.eval.slo import MODULES, Slo
from liftos_pipelines.modules.eval.views import INVENTORY, Frames, newest, tables_for, view
from liftos_pipelines.tables import ALL, FLOAT, INT, TABLES, TEXT, TIME

DEGRADED_BELOW = 0.5
CLEARLY = 0.95
"""A promise is held to be kept (or broken) beyond doubt at this probability."""

SCHEMA: dict[str, Any] = TABLES["eval/trust_scores"].columns | {
    "direction": TEXT, "kind": TEXT, "low": FLOAT, "high": FLOAT, "successes": FLOAT, "trials": FLOAT,
    "design_effect": FLOAT, "std_error": FLOAT, "dof": FLOAT, "level": FLOAT, "min_n": INT, "window": TEXT,
    "table": TEXT, "owner": TEXT, "version": INT, "formula": TEXT, "newest": TIME, "previous_value": FLOAT,
    "change": FLOAT, "change_low": FLOAT, "change_high": FLOAT, "reason": TEXT, "description": TEXT, "unit": TEXT,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModuleTrust:
    """A module's promises together. `probability` is that all are met now; None while any is unknown.

    `at_most` is the probability that all *known* ones are met, an upper bound whatever the unknown ones are.
    Both multiply the posteriors, which is right when promises are measured on different data;
    `at_least` is what remains if failures never coincide (Frechet's bound), whatever the dependence.
    """

    module: str
    slos: int
    met: int
    clearly_met: int
    missed: int
    unknown: int
    probability: float | None
    at_most: float | None
    at_least: float | None


def tables_needed(slos: Iterable[Slo]) -> tuple[str, ...]:
    """The stored tables that these promises read, sorted."""
    names: set[str] = set()
    for slo in slos:
        names.update(tables_for(slo.table))
        if "behind" in slo.params:
            names.update(tables_for(slo.params["behind"]))
    return tuple(sorted(names))


def score(
    slos: Sequence[Slo], frames: Frames, *, now: datetime, names: Mapping[str, Any] | None = None
) -> pl.DataFrame:
    """One row a promise, with everything its verdict can be recomputed from.

    Parameters
    ----------
    slos : the client's promises
    frames : stored tables by name; an absent one counts as empty
    now : the time of the run; ages are relative to it
    names : values of `$name` in a promise's `where`, such as the client's brand
    """
    rows = [_row(slo, frames, now, names or {}) for slo in slos]
    return pl.DataFrame(rows, schema=SCHEMA).sort("module", "slo")


def _row(slo: Slo, frames: Frames, now: datetime, names: Mapping[str, Any]) -> dict[str, Any]:
    scope = Scope(frames=frames, threshold=slo.threshold, direction=slo.direction, names=names)
    whole = view(frames, slo.table)
    end = newest(whole)
    measured = apply(slo.metric, _cut(whole, slo.span, end), slo.params, scope)
    probability: float | None = None
    met, reason = "unknown", measured.reason
    if measured.kind != "unknown" and measured.n < slo.min_n:
        reason = f"{measured.n} observations, {slo.min_n} needed"
    elif measured.value is not None:
        probability = probability_met(measured, slo.direction, slo.threshold)
        met = _verdict(measured.value, slo.direction, slo.threshold)
    row: dict[str, Any] = {
        "module": slo.module, "slo": slo.name, "value": measured.value, "threshold": slo.threshold, "met": met,
        "probability_met": probability, "n": measured.n,
        "age_hours": (now - measured.newest).total_seconds() / 3600 if measured.newest else None,
        "direction": slo.direction, "kind": measured.kind, "low": measured.low, "high": measured.high,
        "successes": measured.successes, "trials": measured.trials, "design_effect": measured.design_effect,
        "std_error": measured.std_error, "dof": measured.dof, "level": measured.level, "min_n": slo.min_n,
        "window": slo.window, "table": slo.table, "owner": slo.owner, "version": slo.version,
        "formula": FORMULA_VERSION, "newest": measured.newest, "reason": reason, "description": slo.description,
        "unit": slo.unit,
    }  # fmt: skip
    return row | _change(slo, whole, end, measured, scope)


def _cut(frame: pl.DataFrame, span: timedelta | None, end: datetime | None) -> pl.DataFrame:
    if span is None or end is None:
        return frame
    return frame.filter((pl.col("at") > end - span) & (pl.col("at") <= end))


def _verdict(value: float, direction: str, threshold: float) -> str:
    return "yes" if (value >= threshold if direction == "at_least" else value <= threshold) else "no"


def _change(
    slo: Slo, whole: pl.DataFrame, end: datetime | None, current: Measurement, scope: Scope
) -> dict[str, float | None]:
    """Change against the window before, with an interval where both sides have a spread."""
    nothing: dict[str, float | None] = dict.fromkeys(("previous_value", "change", "change_low", "change_high"))
    if slo.span is None or end is None or current.value is None:
        return nothing
    before = apply(slo.metric, _cut(whole, slo.span, end - slo.span), slo.params, scope)
    if before.value is None or before.n < slo.min_n:
        return nothing
    gap = current.value - before.value
    spreads = [_spread(side) for side in (current, before)]
    half = None
    if spreads[0] is not None and spreads[1] is not None:
        half = float(stats.norm.ppf(0.5 + measure.LEVEL / 2)) * math.hypot(spreads[0], spreads[1])
    return {
        "previous_value": before.value,
        "change": gap,
        "change_low": None if half is None else gap - half,
        "change_high": None if half is None else gap + half,
    }


def _spread(measured: Measurement) -> float | None:
    if measured.kind == "rate":
        return float(measure._beta(measured).std())
    return measured.std_error


def recompute(row: Mapping[str, Any]) -> tuple[str, float | None]:
    """`met` and `probability_met` of a stored row, from its counters alone.

    Raises
    ------
    ValueError : the row was made by another version of the formula, naming both
    """
    if row["formula"] != FORMULA_VERSION:
        raise ValueError(f"the row was scored by formula {row['formula']}, this is {FORMULA_VERSION}")
    if row["kind"] == "unknown" or row["value"] is None or row["n"] < row["min_n"]:
        return "unknown", None
    measured = Measurement(
        **{name: row[name] for name in ("kind", "value", "successes", "trials", "design_effect", "std_error", "dof",
                                        "level", "n")}
    )  # fmt: skip
    return (
        _verdict(row["value"], row["direction"], row["threshold"]),
        probability_met(measured, row["direction"], row["threshold"]),
    )


def by_module(scores: pl.DataFrame) -> list[ModuleTrust]:
    """Every module of the platform, those without a promise too, in reading order."""
    return [together(module, scores.filter(pl.col("module") == module)) for module in MODULES]


def together(label: str, scores: pl.DataFrame) -> ModuleTrust:
    """Several promises together, under a label. An unknown one is neither kept nor broken."""
    known = scores["probability_met"].drop_nulls().to_list()
    unknown = scores.height - len(known)
    at_most = math.prod(known) if known else None
    return ModuleTrust(
        module=label,
        slos=scores.height,
        met=int((scores["met"] == "yes").sum()),
        clearly_met=sum(probability >= CLEARLY for probability in known),
        missed=int((scores["met"] == "no").sum()),
        unknown=unknown,
        probability=at_most if known and not unknown else None,
        at_most=at_most,
        at_least=None if not known else 0.0 if unknown else max(0.0, 1 - sum(1 - p for p in known)),
    )


def platform(scores_by_client: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Every client's modules in one table, and all of a client's promises together under module `all`."""
    rows = []
    for client, scores in sorted(scores_by_client.items()):
        for trust in [*by_module(scores), together(ALL, scores)]:
            rows.append(
                {"client": client, "module": trust.module, "met": trust.met, "slos": trust.slos,
                 "unknown": trust.unknown, "probability_met": trust.probability,
                 "probability_at_most": trust.at_most, "clearly_met": trust.clearly_met}
            )  # fmt: skip
    extra: dict[str, pl.DataType] = {"probability_at_most": FLOAT, "clearly_met": INT}
    return pl.DataFrame(rows, schema=TABLES["eval/platform_trust"].columns | extra)


def degraded(scores: pl.DataFrame) -> pl.DataFrame:
    """Promises that are known and more likely broken than kept: each becomes a `trust_degraded` event."""
    return scores.filter(pl.col("probability_met") < DEGRADED_BELOW)


def inventory(frames: Frames, quarantined: Mapping[str, int]) -> pl.DataFrame:
    """What a client's sources hold: rows, rows in quarantine, newest moment; absent sources are left out."""
    rows = []
    for name in [name for name in TABLES if name.startswith("sources/")]:
        source = name.split("/")[1]
        frame = view(frames, name)
        bad = quarantined.get(source, 0)
        if frame.height or bad:
            rows.append({"source": source, "rows": frame.height, "quarantined": bad, "newest": newest(frame)})
    return pl.DataFrame(rows, schema=view({}, INVENTORY).schema)


def reliability(probabilities: Sequence[float], kept: Sequence[bool], bins: int = 10) -> tuple[float, pl.DataFrame]:
    """Brier score and reliability table of past statements "kept with probability p".

    Source: Brier (1950), Verification of forecasts expressed in terms of probability.
    """
    table = pl.DataFrame({"probability": list(probabilities), "kept": [float(outcome) for outcome in kept]})
    brier = float(((table["probability"] - table["kept"]) ** 2).mean()) if table.height else float("nan")  # type: ignore[arg-type]
    grouped = (
        table.with_columns((pl.col("probability") * bins).floor().clip(0, bins - 1).alias("bin"))
        .group_by("bin")
        .agg(pl.col("probability").mean(), pl.col("kept").mean(), pl.len().alias("n"))
        .sort("bin")
    )
    return brier, grouped
