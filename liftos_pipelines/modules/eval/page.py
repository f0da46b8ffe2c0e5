"""The trust pulse: one self-contained HTML page that says in words how far the client's figures can be trusted.

The same inputs give the same bytes: nothing here reads a clock, a file or the network.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from liftos_pipelines.modules.eval.charts import interval_chart
from liftos_pipelines.modules.eval.drift import SCHEMA as DRIFT_SCHEMA
from liftos_pipelines.modules.eval.loops import Loop
from liftos_pipelines.modules.eval.measure import FORMULA_VERSION
from liftos_pipelines.modules.eval.page_template import PAGE, STYLE
from liftos_pipelines.modules.eval.root_causes import NONE_FOUND, UNEXPLAINED
from liftos_pipelines.modules.eval.root_causes import SCHEMA as CAUSE_SCHEMA
from liftos_pipelines.modules.eval.trust import CLEARLY, ModuleTrust, by_module, together
from liftos_pipelines.modules.eval.trust import SCHEMA as SCORE_SCHEMA
from liftos_pipelines.tables import ALL

MAX_ROWS = 15
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """All that the page is made of. Frames are those of `eval/*`; `newest` is how far the client's data reach."""

    client: str
    now: datetime
    newest: datetime | None
    scores: pl.DataFrame
    drift: pl.DataFrame
    causes: pl.DataFrame
    loops: Sequence[Loop] = field(default_factory=tuple)


def trust_page(pulse: Pulse) -> str:
    """The page as HTML; everything that comes from data is escaped."""
    import jinja2

    pulse = replace(
        pulse,
        scores=_complete(pulse.scores, SCORE_SCHEMA),
        drift=_complete(pulse.drift, DRIFT_SCHEMA),
        causes=_complete(pulse.causes, CAUSE_SCHEMA),
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
    overall = together(ALL, pulse.scores)
    rows = pulse.scores.sort("module", "slo").to_dicts()
    status, detail = _status(overall, rows)
    drifted = pulse.drift.filter(pl.col("drifted").fill_null(False)).sort(
        "p_value_adjusted", "dataset", "column", "test"
    )
    return environment.from_string(PAGE).render(
        style=_safe(STYLE),
        client=pulse.client,
        made=f"made {pulse.now:%Y-%m-%d %H:%M} UTC",
        status=status,
        detail=detail,
        facts=_facts(pulse, overall),
        reasons=_reasons(rows, pulse.causes),
        panels=[
            _panel(trust, [row for row in rows if row["module"] == trust.module]) for trust in by_module(pulse.scores)
        ],
        causes=_causes(pulse.causes),
        drift_words=_drift_words(pulse.drift, drifted),
        drifted=[_drift_row(row) for row in drifted.head(MAX_ROWS).iter_rows(named=True)],
        loop_words=_loop_words(pulse.loops),
        loops=[_loop_row(loop) for loop in list(pulse.loops)[:MAX_ROWS]],
        unknowns=[
            {
                "name": f"{_title(row['module'])}, {_name(row['slo'])}",
                "why": row["reason"] or "no probability can be given",
            }
            for row in rows
            if row["probability_met"] is None
        ],
        clearly=f"{CLEARLY:.0%}",
        formula=FORMULA_VERSION,
    )


def _complete(frame: pl.DataFrame, schema: dict[str, Any]) -> pl.DataFrame:
    """A stored table with all of eval's columns: one that was never made or is of an older version lacks some."""
    return frame.with_columns(
        [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    )


def _safe(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)


def word(probability: float | None, met: str = "unknown") -> tuple[str, str]:
    """A verdict in words and its tone: kept, probably kept, in doubt, broken, unknown."""
    if probability is None:
        return {"yes": ("? kept, spread unknown", "none"), "no": ("? broken, spread unknown", "none")}.get(
            met, ("? unknown", "none")
        )
    if probability >= CLEARLY:
        return ("\u2713 kept", "good")
    if probability >= 0.5:
        return ("~ probably kept", "warn")
    if probability > 1 - CLEARLY:
        return ("! in doubt", "warn")
    return ("\u2717 broken", "bad")


def _status(overall: ModuleTrust, rows: Sequence[Row]) -> tuple[str, str]:
    known = overall.slos - overall.unknown
    if not overall.slos:
        return "Nothing is promised yet.", "Define service levels to see whether the figures can be trusted."
    if not known:
        return "Trust is unknown.", f"None of the {overall.slos} promises could be measured on this client's data."
    broken = [row for row in rows if row["probability_met"] is not None and row["probability_met"] <= 1 - CLEARLY]
    doubtful = [
        row for row in rows if row["probability_met"] is not None and 1 - CLEARLY < row["probability_met"] < 0.5
    ]
    unknown = f" {_count(overall.unknown, 'promise')} could not be measured." if overall.unknown else ""
    detail = f"{overall.clearly_met} of {overall.slos} promises are kept beyond doubt.{unknown}"
    if broken:
        modules = sorted({row["module"] for row in broken})
        return f"Take care: {_count(len(broken), 'promise')} broken, in {_list(modules)}.", detail
    if doubtful:
        modules = sorted({row["module"] for row in doubtful})
        return f"Watch: {_count(len(doubtful), 'promise')} more likely broken than kept, in {_list(modules)}.", detail
    if overall.unknown:
        return "What was measured can be trusted; some of it was not measured.", detail
    return "The figures can be trusted.", detail


def _facts(pulse: Pulse, overall: ModuleTrust) -> list[dict[str, str]]:
    age = (pulse.now - pulse.newest).total_seconds() / 3600 if pulse.newest else None
    loops = sum(loop.closed for loop in pulse.loops)
    return [
        {"label": "Promises kept", "value": f"{overall.clearly_met} of {overall.slos}",
         "note": f"with probability {CLEARLY:.0%} or more"},
        {"label": "More likely broken", "value": str(_broken(pulse.scores)), "note": "probability below 50%"},
        {"label": "Unknown", "value": str(overall.unknown), "note": "counts as not kept"},
        {"label": "Age of the data", "value": _hours(age),
         "note": f"newest row {pulse.newest:%Y-%m-%d}" if pulse.newest else "no dated row"},
        {"label": "Closed loops", "value": f"{loops} of {len(pulse.loops)}", "note": "event to memory"},
    ]  # fmt: skip


def _broken(scores: pl.DataFrame) -> int:
    return int((scores["probability_met"] < 0.5).sum())


def _reasons(rows: Sequence[Row], causes: pl.DataFrame) -> list[dict[str, str]]:
    """The three promises that most speak against trust: least likely kept first, then what could not be measured."""
    known = sorted((row for row in rows if row["probability_met"] is not None), key=lambda row: row["probability_met"])
    doubted = [row for row in known if row["probability_met"] < CLEARLY]
    unknown = [row for row in rows if row["probability_met"] is None]
    chosen = [*doubted, *unknown, *(row for row in known if row["probability_met"] >= CLEARLY)][:3]
    return [_reason(row, causes) for row in chosen]


def _reason(row: Row, causes: pl.DataFrame) -> dict[str, str]:
    verdict, tone = word(row["probability_met"], row["met"])
    about = row["description"] or _name(row["slo"])
    text = f"{_title(row['module'])}, {about}: "
    if row["value"] is None:
        text += f"not measured ({row['reason'] or 'no data'})."
    else:
        text += f"{_value(row, 'value')} where {_promise(row)} is promised."
        if row["change_low"] is not None and row["change_low"] * row["change_high"] > 0:
            text += f" It moved by {_change(row)}."
        if row["probability_met"] is None:
            text += f" No probability can be given ({row['reason']})."
    incident = causes.filter(pl.col("incident_id").str.starts_with(f"{row['module']}.{row['slo']}@"))
    # Only what pushed the same way as the change is a reason for it.
    named = incident.filter(~pl.col("cause").is_in([UNEXPLAINED, NONE_FOUND]))
    first = named.filter(pl.col("share_of_change").is_null() | (pl.col("share_of_change") > 0)).sort("rank").head(1)
    for cause in first.iter_rows(named=True):
        text += f" First cause: {cause['cause']}."
    if incident.height and not first.height:
        text += " No cause stands out."
    return {"word": verdict, "tone": tone, "text": text, "link": _link(row["table"]), "table": row["table"]}


def _link(table: str) -> str:
    """The asset's page in the Dagster UI, relative to where that is served; the inventory is made of sources."""
    return "/asset-groups" if table == "sources/inventory" else f"/assets/{table}"


def _panel(trust: ModuleTrust, rows: Sequence[Row]) -> dict[str, Any]:
    probabilities = [row["probability_met"] for row in rows if row["probability_met"] is not None]
    if not rows:
        verdict, tone, summary = "? unknown", "none", "Nothing is promised of this module."
    elif not probabilities:
        verdict, tone, summary = "? unknown", "none", f"None of {_count(trust.slos, 'promise')} could be measured."
    else:
        verdict, tone = word(min(probabilities))
        if tone == "good" and trust.unknown:
            verdict, tone = "\u2713 kept where measured", "none"
        chance = (
            f"All hold with probability {_chance(trust.probability)}."
            if trust.probability is not None
            else f"The known ones all hold with probability {_chance(trust.at_most)}; {trust.unknown} unknown."
        )
        summary = f"{trust.clearly_met} of {trust.slos} kept beyond doubt. {chance}"
    return {
        "name": _title(trust.module), "word": verdict, "tone": tone, "summary": summary,
        "promises": [_promise_card(row) for row in rows],
    }  # fmt: skip


def _promise_card(row: Row) -> dict[str, Any]:
    verdict, tone = word(row["probability_met"], row["met"])
    chart: Any = ""
    numbers = f"{_promise(row)} promised; not measured"
    if row["value"] is not None:
        spread = f" ({_value(row, 'low')} to {_value(row, 'high')})" if row["low"] is not None else ""
        numbers = f"{_value(row, 'value')}{spread}; {_promise(row)} promised"
        words = html.escape(f"{_name(row['slo'])}: {numbers}", quote=True)
        # A yes or no that is exactly as promised has nothing to draw.
        chart = "" if row["kind"] == "fact" and row["value"] == row["threshold"] else _safe(
            interval_chart(value=row["value"], low=row["low"], high=row["high"], threshold=row["threshold"],
                           at_least=row["direction"] == "at_least", bounded=row["unit"] == "share", words=words,
                           label=lambda number: html.escape(_value(row | {"end": number}, "end")))
        )  # fmt: skip
    small = [row["description"]]
    if row["value"] is not None:
        small.append(f"n {row['n']:,}")
        if row["kind"] != "fact" and row["probability_met"] is not None:
            small.append(f"holds with probability {_chance(row['probability_met'])}")
        small.append(f"data {_hours(row['age_hours'])} old" if row["age_hours"] is not None else "age unknown")
        if row["change"] is not None:
            small.append(_change(row))
    if row["reason"]:
        small.append(row["reason"])
    small.append(f"{row['owner']}, version {row['version']}")
    return {"name": _name(row["slo"]), "word": verdict, "tone": tone, "chart": chart, "numbers": numbers,
            "small": "; ".join(part for part in small if part)}  # fmt: skip


def _change(row: Row) -> str:
    spread = ""
    if row["change_low"] is not None:
        spread = f" ({_signed(row['change_low'], row['unit'])} to {_signed(row['change_high'], row['unit'])})"
    return f"{_signed(row['change'], row['unit'])}{spread} against the {_span(row['window'])} before"


def _causes(causes: pl.DataFrame) -> list[dict[str, str]]:
    rows = []
    for row in causes.sort("incident_id", "rank").head(3 * MAX_ROWS).iter_rows(named=True):
        part = "not measured"
        if row["contribution"] is not None:
            part = f"{row['contribution']:+.3g}"
            if row["low"] is not None:
                part += f" ({row['low']:+.3g} to {row['high']:+.3g})"
        rows.append({"incident": _incident(row), "cause": row["cause"], "part": part,
                     "evidence": row["evidence"]})  # fmt: skip
    return rows


def _incident(row: Row) -> str:
    """`llm.groundedness@2025-06-30` in words; alerts keep their id."""
    name, _, day = str(row["incident_id"]).rpartition("@")
    if not name.startswith(f"{row['module']}."):
        return f"{_title(row['module'])} alert {row['incident_id']}"
    return f"{_title(row['module'])}, {_name(name.partition('.')[2])}, {day}"


def _drift_words(drift: pl.DataFrame, drifted: pl.DataFrame) -> str:
    columns = drift.select("dataset", "column").unique().height
    tested = drift.filter(pl.col("p_value_adjusted").is_not_null()).select("dataset", "column").unique().height
    if not columns:
        return "Nothing to compare: no table has dated rows yet."
    found = drifted.select("dataset", "column").unique().height
    words = f"{found} of {_count(tested, 'tested column')} drifted; {columns - tested} had too few rows to test."
    losses = drift["estimated_performance_loss"].drop_nulls()
    if losses.len():
        words += f" Estimated loss of sentiment accuracy: {float(losses[0]) * 100:.1f} points."
    return words + " Drift is a hint to look, not a fault in itself."


def _drift_row(row: Row) -> dict[str, str]:
    loss = row["estimated_performance_loss"]
    return {
        "column": f"{row['dataset']}, {row['column']}", "test": row["test"], "statistic": f"{row['statistic']:.3f}",
        "threshold": f"{row['threshold']:.3f}", "p": f"{row['p_value_adjusted']:.3g}",
        "loss": "unknown" if loss is None else f"{loss * 100:.1f} points",
    }  # fmt: skip


def _loop_words(loops: Sequence[Loop]) -> str:
    if not loops:
        return "No event began a chain of reactions in this period."
    return f"{sum(loop.closed for loop in loops)} of {_count(len(loops), 'chain')} went from event to memory."


def _loop_row(loop: Loop) -> dict[str, str]:
    return {
        "at": f"{loop.occurred_at:%Y-%m-%d %H:%M}", "event": loop.event, "impact": loop.impact, "action": loop.action,
        "memory": loop.memory, "word": "\u2713 closed" if loop.closed else f"\u2026 waits for {loop.waits_for}",
        "tone": "good" if loop.closed else "warn",
    }  # fmt: skip


def _title(module: str) -> str:
    return "LLM" if module == "llm" else module.capitalize()


def _span(window: str) -> str:
    return f"{window[:-1]} {'days' if window[-1] == 'd' else 'weeks'}"


def _name(slo: str) -> str:
    return slo.replace("_", " ")


def _promise(row: Row) -> str:
    return f"{row['direction'].replace('_', ' ')} {_value(row, 'threshold')}"


def _value(row: Row, column: str) -> str:
    number = row[column]
    if number is None:
        return "unknown"
    if row["unit"] == "share":
        # A digit more where rounding would hide the difference to the promise, or would say 0 % or 100 %.
        near = number != row["threshold"] and round(number, 2) == round(row["threshold"], 2)
        digits = 1 if near or 0 < abs(number) < 0.1 or 0.99 < abs(number) < 1 else 0
        return f"{number * 100:.{digits}f}%"
    if row["unit"] == "hours":
        return _hours(number)
    if row["unit"] == "ms":
        return f"{number:,.0f} ms"
    return f"{number:,.4g}"


def _signed(number: float, unit: str) -> str:
    if unit == "share":
        return f"{number * 100:+.1f} points"
    return f"{number:+,.4g}" + (f" {unit}" if unit else "")


def _chance(probability: float | None) -> str:
    if probability is None:
        return "unknown"
    if probability > 0.995:
        return "above 99%"
    return "below 1%" if probability < 0.005 else f"{probability:.0%}"


def _hours(hours: float | None) -> str:
    if hours is None:
        return "unknown"
    return f"{hours:,.0f} hours" if abs(hours) < 48 else f"{hours / 24:,.0f} days"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _list(names: Sequence[str]) -> str:
    shown = [_title(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
