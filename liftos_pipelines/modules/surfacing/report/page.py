"""The visibility report: a single HTML file that says in words, drawings and tables how visible the brand is.

The same inputs give the same bytes: nothing here reads a clock, a file or the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from liftos_pipelines.modules.surfacing.report import charts
from liftos_pipelines.modules.surfacing.report.charts import Line, Row, chance, month, percent, points
from liftos_pipelines.modules.surfacing.report.template import PAGE
from liftos_pipelines.modules.surfacing.report.words import KINDS, LIMITS, lead, summary
from liftos_pipelines.modules.surfacing.visibility.counts import DEFINITIONS, METRICS
from liftos_pipelines.page_style import STYLE
from liftos_pipelines.tables import ALL

MOST_BRANDS = 12
MOST_RANKS = 8
MOST_RIVALS = 3
MOST_ROWS = 15
SPLITS = {"engine": "By engine", "answer": "By what happens in an answer", "intent": "By intent of the prompt",
          "stage": "By funnel stage of the prompt", "wording": "By whether the prompt names the brand"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page is made of: frames are the tables of those names, `panel` the sentences of the panel's plan."""

    client: str
    brand: str
    now: datetime
    visibility: pl.DataFrame
    posterior: pl.DataFrame
    pairs: pl.DataFrame
    benchmark: pl.DataFrame
    stability: pl.DataFrame
    decomposition: pl.DataFrame
    prompt_gaps: pl.DataFrame
    source_gaps: pl.DataFrame
    shifts: pl.DataFrame
    panel: Sequence[str]


def _as_of(report: Report) -> datetime:
    """Until when answers can be in: the end of the newest month, if that is past."""
    newest = report.visibility["period"].max()
    if not isinstance(newest, str):
        return report.now
    after = (datetime.strptime(newest, "%Y-%m").replace(tzinfo=UTC) + timedelta(days=32)).replace(day=1)
    return min(report.now, after)


def report_page(report: Report) -> str:
    """The page as HTML; everything that comes from data is escaped."""
    import jinja2
    from markupsafe import Markup

    newest = report.posterior.filter(pl.col("period") == pl.col("period").max())
    whole = newest.filter(pl.col("engine") == ALL).sort("rate", "brand", descending=[True, False])
    gap = report.decomposition.filter(
        pl.col("engine") == ALL, pl.col("metric") == "mention_rate", pl.col("component") == "level"
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE).render(
        style=Markup(STYLE + charts.STYLE),
        client=report.client,
        brand=report.brand,
        made=f"{report.now:%Y-%m-%d %H:%M} UTC",
        period=month(whole["period"][0]) if whole.height else "",
        lead=lead(report.posterior, report.pairs),
        summary=summary(
            benchmark=report.benchmark,
            decomposition=report.decomposition,
            prompt_gaps=report.prompt_gaps,
            source_gaps=report.source_gaps,
            shifts=report.shifts,
            now=_as_of(report),
        ),
        facts=_facts(report, whole),
        rates=Markup(_forest(whole)),
        engines=[
            {"name": engine, "chart": Markup(_forest(newest.filter(pl.col("engine") == engine)))}
            for engine in sorted(set(newest["engine"].to_list()) - {ALL})
        ],
        prompts=whole["n_prompts"][0] if whole.height else 0,
        heat=_heat(whole),
        pairs=_pairs(report),
        stability=_stability(report.stability),
        trends=[panel | {"chart": Markup(panel["chart"])} for panel in _trends(report)],
        changes=_changes(report.benchmark),
        measures=_measures(report),
        groups=_groups(report),
        gaps=[part | {"chart": Markup(part["chart"])} for part in _splits(gap)],
        listed=[part | {"chart": Markup(part["chart"])} for part in _listed(report.decomposition)],
        rival=gap["competitor"][0] if gap.height else "",
        gap_total=points(gap["total"][0]) if gap.height else "",
        prompt_rows=_prompt_rows(report.prompt_gaps),
        prompt_note=_note(report.prompt_gaps, "prompts, the widest gaps first; over all engines"),
        source_rows=_source_rows(report.source_gaps),
        shift_rows=_shift_rows(report.shifts),
        panel=report.panel,
        limits=LIMITS,
    )


def _facts(report: Report, whole: pl.DataFrame) -> list[dict[str, str]]:
    own = whole.filter("own").to_dicts()
    row: Mapping[str, Any] = own[0] if own else {}
    ranks = _rank(row).removeprefix("rank ") if own else "unknown"
    engines = sorted(set(report.posterior["engine"].to_list()) - {ALL})
    return [
        {"label": "Named in", "value": percent(row.get("rate")), "note": "of answers"},
        {"label": "Probability of leading", "value": chance(row.get("p_first")), "note": f"of {whole.height} brands"},
        {"label": "Rank", "value": ranks, "note": "90 % interval"},
        {"label": "Prompts", "value": str(row.get("n_prompts", 0)), "note": f"{row.get('n_answers', 0)} answers"},
        {"label": "Engines", "value": str(len(engines)), "note": ", ".join(engines) or "none"},
    ]


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """The brands with the highest rates, and the own one wherever it stands."""
    ordered = frame.sort("rate", "brand", descending=[True, False]).with_row_index("place")
    return ordered.filter((pl.col("place") < MOST_BRANDS) | pl.col("own"))


def _banded(value: float, low: float, high: float) -> str:
    return f"{percent(value)} ({percent(low)} to {percent(high)})"


def _forest(frame: pl.DataFrame) -> str:
    rows = [
        Row(
            name=row["brand"],
            value=row["rate"],
            low=row["low"],
            high=row["high"],
            own=bool(row["own"]),
            numbers=f"{_banded(row['rate'], row['low'], row['high'])}, {_rank(row)}",
        )
        for row in _shown(frame).iter_rows(named=True)
    ]
    return charts.forest(rows, "Mention rate of each brand with its 90 % interval")


def _rank(row: Mapping[str, Any]) -> str:
    low, high = row["rank_low"], row["rank_high"]
    return f"rank {low}" if low == high else f"rank {low} to {high}"


def _heat(whole: pl.DataFrame) -> dict[str, Any] | None:
    if whole.height < 2:
        return None
    ranks = list(range(1, min(whole.height, MOST_RANKS) + 1))
    rows = []
    for row in _shown(whole).iter_rows(named=True):
        chances = row["rank_probabilities"]
        cells = [{"p": f"{chances[k - 1]:.2f}", "text": chance(chances[k - 1])} for k in ranks]
        rows.append({"name": row["brand"], "own": row["own"], "cells": cells})
    return {"ranks": ranks, "rows": rows}


def _pairs(report: Report) -> list[dict[str, str]]:
    mine = report.pairs.filter((pl.col("engine") == ALL) & (pl.col("brand") == report.brand)).sort("difference")
    return [
        {
            "other": row["other"],
            "chance": chance(row["p_above"]),
            "difference": f"{points(row['difference'])} ({points(row['low'])} to {points(row['high'])})",
        }
        for row in mine.head(MOST_BRANDS).iter_rows(named=True)
    ]


def _stability(stability: pl.DataFrame) -> list[str]:
    """Whether sets and ranks moved between months, against what chance alone does."""
    whole = {
        (row["scope"], row["measure"]): row
        for row in stability.filter(pl.col("engine") == ALL).iter_rows(named=True)
        if row["value"] is not None
    }
    said = []
    runs, months = whole.get(("run_to_run", "jaccard")), whole.get(("period_to_period", "jaccard"))
    if runs:
        said.append(
            f"Two answers of one engine to one prompt share {percent(runs['value'])} of the brands that they name"
            + (f"; answers a month apart {percent(months['value'])}." if months else ".")
        )
    ranks, noise = whole.get(("period_to_period", "kendall")), whole.get(("split_runs", "kendall"))
    if ranks and noise:
        moved = ranks["high"] is not None and noise["low"] is not None and ranks["high"] < noise["low"]
        verdict = "more than chance alone moves them" if moved else "no more than chance alone may move them"
        said.append(
            f"From month to month the ranking of all brands agrees to {ranks['value']:.2f} (Kendall's tau; 1 is the "
            f"same order), two halves of the newest month's answers to {noise['value']:.2f}: ranks moved {verdict}."
        )
    return said


def _trends(report: Report) -> list[dict[str, Any]]:
    panels = []
    own_rows = report.posterior.filter("own")
    for engine in sorted(set(own_rows["engine"].to_list()), key=lambda name: (name != ALL, name)):
        frame = report.posterior.filter(pl.col("engine") == engine)
        months = sorted(frame["period"].unique().to_list())
        newest = frame.filter((pl.col("period") == months[-1]) & ~pl.col("own")).sort("rate", descending=True)
        names = [report.brand, *newest["brand"].head(MOST_RIVALS).to_list()]
        series = []
        for name in names:
            known = {row["period"]: row for row in frame.filter(pl.col("brand") == name).iter_rows(named=True)}
            values = [known[period]["rate"] if period in known else None for period in months]
            bands = [(known[period]["low"], known[period]["high"]) if period in known else None for period in months]
            series.append(Line(name=name, values=values, band=bands if name == report.brand else None))
        words = f"Mention rate by month, {'all engines' if engine == ALL else engine}: " + "; ".join(
            f"{line.name} {percent(line.values[-1])} in {month(months[-1])}" for line in series
        )
        title = "All engines" if engine == ALL else engine
        panels.append({"name": title, "chart": charts.lines(months, series, words)})
    return panels


def _changes(benchmark: pl.DataFrame) -> list[dict[str, Any]]:
    rows = benchmark.filter((pl.col("engine") == ALL) & (pl.col("metric") == "mention_rate"))
    rows = rows.filter(pl.any_horizontal(pl.col("change", "quarter_change", "slope").is_not_null()))

    def banded(row: Mapping[str, Any], name: str) -> str:
        if row[name] is None:
            return "unknown"
        return f"{points(row[name])} ({points(row[f'{name}_low'])} to {points(row[f'{name}_high'])})"

    ordered = rows.sort("own", "value", descending=True).head(MOST_BRANDS)
    return [
        {
            "brand": row["brand"],
            "own": row["own"],
            "change": banded(row, "change"),
            "quarter": banded(row, "quarter_change"),
            "slope": banded(row, "slope"),
        }
        for row in ordered.iter_rows(named=True)
    ]


def _newest(report: Report) -> pl.DataFrame:
    return report.visibility.filter(pl.col("engine") == ALL).filter(pl.col("period") == pl.col("period").max())


def _best(rows: pl.DataFrame) -> str:
    others = rows.filter(~pl.col("own")).drop_nulls("value").sort("value", "brand", descending=[True, False])
    return f"{others['brand'][0]}, {percent(others['value'][0])}" if others.height else "unknown"


def _measures(report: Report) -> list[dict[str, str]]:
    newest = _newest(report).filter(pl.col("group") == ALL)
    out = []
    for metric in METRICS:
        rows = newest.filter(pl.col("metric") == metric)
        for row in rows.filter("own").iter_rows(named=True):
            interval = "unknown" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}"
            out.append(
                {
                    "name": metric.replace("_", " "),
                    "definition": DEFINITIONS[metric],
                    "value": percent(row["value"]),
                    "interval": interval,
                    "best": _best(rows),
                }
            )
    return out


def _groups(report: Report) -> list[dict[str, str]]:
    rates = _newest(report).filter((pl.col("group") != ALL) & (pl.col("metric") == "mention_rate"))
    out = []
    for group in sorted(rates["group"].unique().to_list()):
        rows = rates.filter(pl.col("group") == group)
        for row in rows.filter("own").iter_rows(named=True):
            own = percent(row["value"]) if row["low"] is None else _banded(row["value"], row["low"], row["high"])
            name = group.replace(":", ": ")
            out.append({"name": name, "own": own, "best": _best(rows), "prompts": str(row["n_prompts"])})
    return out


def _split(split: pl.DataFrame) -> str:
    rows = []
    for row in split.sort("value").iter_rows(named=True):
        low, high = (row["value"], row["value"]) if row["low"] is None else (row["low"], row["high"])
        rates = ""
        if row["brand_rate"] is not None and row["dimension"] != "answer":
            rates = f"; {percent(row['brand_rate'])} against {percent(row['competitor_rate'])}"
        numbers = f"{points(row['value'])} ({points(low)} to {points(high)}){rates}"
        rows.append(Row(name=row["part"].split(":")[-1], value=row["value"], low=low, high=high, numbers=numbers))
    return charts.parts(rows, "Parts of the gap in points")


def _splits(gap: pl.DataFrame) -> list[dict[str, str]]:
    each = ((title, gap.filter(pl.col("dimension") == dimension)) for dimension, title in SPLITS.items())
    return [{"name": title, "chart": _split(rows)} for title, rows in each if rows.height > 1]


def _listed(decomposition: pl.DataFrame) -> list[dict[str, str]]:
    """What stands between the brand and the first three places, where that is more than being named."""
    rows = decomposition.filter(
        pl.col("engine") == ALL, pl.col("metric") == "top3_rate", pl.col("dimension") == "answer"
    )
    if rows.height < 2:
        return []
    gap = f"Gap to {rows['competitor'][0]} in being among the first three: {points(rows['total'][0])} points"
    return [{"name": gap, "chart": _split(rows)}]


def _note(gaps: pl.DataFrame, words: str) -> str:
    whole = gaps.filter(pl.col("engine") == ALL)
    shown = min(whole.height, MOST_ROWS)
    return f"{shown} of {whole.height} {words}" if whole.height > MOST_ROWS else f"{shown} {words}"


def _prompt_rows(gaps: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "prompt": row["prompt"] or row["prompt_id"],
            "own": "never named" if row["never"] else percent(row["brand_rate"]),
            "rival": f"{row['competitor']}, {percent(row['competitor_rate'])}",
            "answers": str(row["answers"]),
        }
        for row in gaps.filter(pl.col("engine") == ALL).head(MOST_ROWS).iter_rows(named=True)
    ]


def _source_rows(gaps: pl.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for row in gaps.filter(pl.col("engine") == ALL).head(MOST_ROWS).iter_rows(named=True):
        share = percent(row["share"]) if row["low"] is None else _banded(row["share"], row["low"], row["high"])
        named, count = percent(row["share_when_named"]), str(row["answers"])
        rows.append({"domain": row["domain"], "owner": row["owner"], "share": share, "named": named, "answers": count})
    return rows


def _shift_rows(shifts: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "day": f"{row['detected_at']:%Y-%m-%d}",
            "engine": "all engines" if row["engine"] == ALL else row["engine"],
            "what": KINDS.get(row["kind"], row["kind"]),
            "brand": "several" if row["brand"] == ALL else row["brand"] or "",
            "p": "unknown" if row["p_value"] is None else f"{row['p_value']:.2g}",
        }
        for row in shifts.sort("detected_at", descending=True).head(MOST_ROWS).iter_rows(named=True)
    ]
