"""The charts of a model's report, each made from one frame: HTML of `charts`, or text when there is nothing to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.report import svg
from liftos_pipelines.modules.causal.report.measures import Measures
from liftos_pipelines.modules.causal.report.svg import Plane, Row, amount, percent
from liftos_pipelines.tables import ALL

MOST_LAYERS = 8
HALF_WEEK = 3.5
ROOM = 1.04


def _days(frame: pl.DataFrame) -> list[float]:
    return [float(day.toordinal()) for day in frame["date"]]


def fit_chart(measures: Measures) -> str:
    """Observed weeks as dots, the model's band and median, and what back-tests foresaw, dashed on shaded weeks."""
    fit = measures.fit
    days = _days(fit)
    columns = fit.select(pl.exclude("date")).to_numpy().astype(float)
    low, high = float(np.nanmin(columns)), float(np.nanmax(columns))
    pad = (ROOM - 1) * (high - low)
    floor = 0.0 if 0 <= low < 0.25 * high else low - pad
    plane = Plane(left=days[0], right=days[-1], low=floor, high=high + pad, height=300)
    held = fit["held_middle"].is_not_null().to_numpy()
    shades, foreseen = [], []
    seen = []
    for start, end in _runs(~held):
        part, place = fit[start : end + 1], days[start : end + 1]
        seen.append(plane.area(place, part["low"].to_numpy(), part["high"].to_numpy(), "band"))
        seen.append(plane.line(place, part["middle"].to_numpy(), "middle"))
    for start, end in _runs(held):
        shades.append(plane.shade(max(days[start] - HALF_WEEK, days[0]), min(days[end] + HALF_WEEK, days[-1]), "held"))
        part, place = fit[start : end + 1], days[start : end + 1]
        foreseen.append(plane.area(place, part["held_low"].to_numpy(), part["held_high"].to_numpy(), "heldband"))
        foreseen.append(plane.line(place, part["held_middle"].to_numpy(), "heldmiddle"))
    drawn = [
        *shades,
        plane.stretched([*seen, *foreseen]),
        plane.dots(days, fit["observed"].to_numpy(), "observed", 2),
    ]
    legend = [
        ('<circle class="observed" cx="11" cy="7" r="3"/>', "observed, all geos"),
        ('<rect class="band" width="22" height="14"/><line class="middle" x2="22" y1="7" y2="7"/>', "fit, 90 % band"),
    ]
    if held.any():
        legend.append(
            (
                '<rect class="heldband" width="22" height="14"/><line class="heldmiddle" x2="22" y1="7" y2="7"/>',
                "held-out weeks as foreseen, 90 % band",
            )
        )
    words = (
        f"Outcome by week, {fit['date'][0]} to {fit['date'][-1]}: observed, fitted with a 90 % band, and "
        f"{int(held.sum())} held-out weeks as foreseen. {percent(measures.inside)} of the weeks lie in the band."
    )
    return svg.key(legend) + plane.drawn(drawn, svg.date_ticks(fit["date"].to_list()), words)


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last position of each unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def contribution_chart(contributions: pl.DataFrame) -> str:
    """What made each week's outcome, stacked: the baseline below, the largest channels on it, letters as names."""
    whole = contributions.filter(pl.col("geo") == ALL)
    if whole.is_empty():
        return '<p class="soft">No contributions are at hand.</p>'
    weeks = whole["date"].unique().sort().to_list()
    wide = whole.pivot(on="channel", index="date", values="contribution", aggregate_function="sum").sort("date")
    kinds = dict(whole.select("channel", "kind").unique(maintain_order=True).iter_rows())
    size = {name: float(wide[name].abs().sum()) for name in kinds}
    base = [name for name in kinds if kinds[name] == "baseline"]
    others = sorted((name for name in kinds if kinds[name] != "baseline"), key=lambda name: -size[name])
    shown = others if len(others) <= MOST_LAYERS else others[: MOST_LAYERS - 1]
    layers = [(name, wide[name].fill_null(0.0).to_numpy(), svg.BASE) for name in base]
    layers += [(name, wide[name].fill_null(0.0).to_numpy(), svg.SERIES[i]) for i, name in enumerate(shown)]
    if len(shown) < len(others):
        rest = np.sum([wide[name].fill_null(0.0).to_numpy() for name in others[len(shown) :]], axis=0)
        layers.append((f"{len(others) - len(shown)} others", rest, svg.REST))
    days = [float(day.toordinal()) for day in weeks]
    above, below = np.zeros(len(weeks)), np.zeros(len(weeks))
    bands = []
    for name, values, fill in layers:
        up, down = np.maximum(values, 0), np.minimum(values, 0)
        bands.append((name, fill, above.copy(), above + up, below.copy(), below + down))
        above, below = above + up, below + down
    low, high = float(min(below.min(), 0.0)), float(max(above.max(), 1e-12))
    plane = Plane(left=days[0], right=days[-1], low=low * ROOM, high=high * ROOM, height=320)
    areas, letters, legend = [], "", []
    for i, (name, fill, start, end, under, lower) in enumerate(bands):
        areas.append(plane.area(days, start, end, "layer", fill))
        if (lower < under).any():
            areas.append(plane.area(days, lower, under, "layer", fill))
        letter = svg.letter(i)
        # Letters keep off the edges, and off one another: each looks for the widest place of its own stretch of time.
        part = slice(*(int(len(days) * (0.06 + 0.88 * (i + k) / len(bands))) for k in (0, 1)))
        width = (end - start)[part]
        if width.size and plane.inner * float(width.max()) / (plane.high - plane.low) >= 12:
            at = part.start + int(width.argmax())
            x, y = plane.across(days[at]), plane.down(float(start[at] + end[at]) / 2)
            letters += (
                f'<g class="mark"><circle cx="{x:.2f}%" cy="{y:.1f}" r="7"/>'
                f'<text x="{x:.2f}%" y="{y + 3.5:.1f}" text-anchor="middle">{letter}</text></g>'
            )
        kind = kinds.get(name, "")
        words = f"{letter}  {name}" + (f" ({kind})" if kind in ("organic", "treatment", "interplay") else "")
        legend.append((f'<rect width="22" height="14" fill="{fill}"/>', words))
    words = (
        f"Outcome by week and what made it, stacked: {', '.join(name for name, *_ in bands)}. Totals are in the table."
    )
    return svg.key(legend) + plane.drawn([plane.stretched(areas), letters], svg.date_ticks(weeks), words)


def return_rows(whole: pl.DataFrame, column: str, priors: pl.DataFrame | None = None) -> str:
    """ROI or marginal ROI by channel with 90 % intervals; beside an ROI the prior that is about it."""
    known = whole.drop_nulls(column).sort(column, descending=True)
    if known.is_empty():
        return '<p class="soft">Revenue is unknown, so no return on spend can be given.</p>'
    before: dict[str, tuple[float, float, float]] = {}
    if priors is not None:
        about = priors.filter(pl.col("on") == "ROI").select("channel", "prior_low", "prior_middle", "prior_high")
        before = {name: (low, middle, high) for name, low, middle, high in about.iter_rows()}
    rows = [
        Row(
            name=row["channel"],
            mean=row[column],
            low=row[f"{column}_low"],
            high=row[f"{column}_high"],
            numbers=_band(row[column], row[f"{column}_low"], row[f"{column}_high"]),
            prior=before.get(row["channel"]),
        )
        for row in known.iter_rows(named=True)
    ]
    legend = [
        (
            '<line class="post" x2="22" y1="7" y2="7"/><circle class="postdot" cx="11" cy="7" r="5"/>',
            "mean, 90 % interval",
        ),
        ('<line class="ref" x1="11" x2="11" y1="0" y2="14"/>', "1: revenue equals spend"),
    ]
    if before:
        legend.append(
            (
                '<line class="prior" x2="22" y1="7" y2="7"/><circle class="priordot" cx="11" cy="7" r="4"/>',
                "what was assumed before the data (prior median, 90 %)",
            )
        )
    return svg.key(legend) + svg.forest(rows, "Returns by channel with 90 % intervals", 1.0)


def _band(mean: float, low: float, high: float) -> str:
    return f"{amount(mean)} ({amount(low)} to {amount(high)})"


def prior_groups(priors: pl.DataFrame) -> list[dict[str, Any]]:
    """Prior beside posterior, a group for each quantity that priors are about."""
    out = []
    for on in priors["on"].unique(maintain_order=True).to_list():
        share = on == "share of the outcome"
        show = percent if share else amount
        rows = [
            Row(
                name=row["channel"],
                mean=row["mean"],
                low=row["low"],
                high=row["high"],
                numbers=f"{show(row['mean'])} ({show(row['low'])} to {show(row['high'])}); "
                f"prior {show(row['prior_middle'])} ({show(row['prior_low'])} to {show(row['prior_high'])})",
                prior=(row["prior_low"], row["prior_middle"], row["prior_high"]),
            )
            for row in priors.filter(pl.col("on") == on).iter_rows(named=True)
        ]
        out.append({"on": on, "chart": svg.forest(rows, f"Prior and posterior of {on} by channel")})
    return out


def curve_panels(curves: pl.DataFrame, currency: str) -> list[dict[str, str]]:
    """A response curve a channel: its band, today's spend, and grey where spend was never seen."""
    out = []
    for name in curves["channel"].unique(maintain_order=True).to_list() if curves.height else []:
        curve = curves.filter(pl.col("channel") == name).sort("spend")
        spend, response = curve["spend"].to_list(), curve["response"].to_numpy()
        low, high = curve["response_low"].to_numpy(), curve["response_high"].to_numpy()
        plane = Plane(
            left=spend[0], right=spend[-1], low=min(float(low.min()), 0.0), high=float(high.max()) * ROOM, height=210
        )
        beyond = curve["beyond_observed"].to_list() if "beyond_observed" in curve.columns else [False] * len(spend)
        parts, unseen = [], ""
        if any(beyond):
            first = beyond.index(True)
            edge = spend[max(first - 1, 0)]
            parts.append(plane.shade(edge, spend[-1], "beyond"))
            unseen = (
                f"; grey from about {amount(edge)}: the mean week would exceed the highest seen, so it is extrapolated"
            )
        cut = beyond.index(True) if any(beyond) else len(spend)
        drawn = []
        for part, band, line in (
            (slice(0, cut), "band", "middle"),
            (slice(max(cut - 1, 0), None), "unseen", "unseenline"),
        ):
            if len(spend[part]) > 1:
                drawn.append(plane.area(spend[part], low[part], high[part], band))
                drawn.append(plane.line(spend[part], response[part], line))
        parts.append(plane.stretched(drawn))
        scales = curve["scale"].to_list() if "scale" in curve.columns else []
        unit, weeks = curve["unit"][0], curve["weeks"][0]
        measure = f"{currency} of revenue" if unit == "revenue" else "outcome"
        words = f"Response in {measure} to spend over {weeks} weeks"
        if 1.0 in scales:
            now = scales.index(1.0)
            parts.append(plane.upright(spend[now], "now"))
            parts.append(plane.dots([spend[now]], response[now : now + 1], "observed", 4))
            words += (
                f"; {amount(spend[now])} {currency} spent (dashed) brought {amount(response[now])} "
                f"({amount(low[now])} to {amount(high[now])})"
            )
        words += unseen + "."
        labels = [(mark, svg.tick(mark)) for mark in svg.ticks(spend[0], spend[-1], 3)]
        out.append({"name": name, "words": words, "chart": plane.drawn(parts, labels, f"{name}: {words}")})
    return out


def carry_panels(carry: pl.DataFrame) -> list[dict[str, str]]:
    """How a channel's exposure spreads over the weeks after it."""
    out = []
    for name in carry["channel"].unique(maintain_order=True).to_list():
        lags = carry.filter(pl.col("channel") == name).sort("lag")
        weight = lags["weight"].to_numpy()
        half = int(np.searchsorted(np.cumsum(weight), 0.5 - 1e-9))
        when = f"; half of it has acted {half} week{'s' if half > 1 else ''} later" if half else ""
        words = (
            f"{lags['family'][0].replace('_', ' ')}; {percent(float(weight[0]))} "
            f"({percent(lags['low'][0])} to {percent(lags['high'][0])}) acts in the week itself{when}."
        )
        if lags["family"][0] == "none":
            words = "No carry-over is modelled: all of it acts in the week itself."
        chart = svg.lag_bars(weight, lags["low"].to_numpy(), lags["high"].to_numpy(), f"{name}: {words}")
        out.append({"name": name, "words": words, "chart": chart})
    return out


def plan_rows(plan: pl.DataFrame) -> str:
    """Current and planned spend of each channel."""
    channels = plan.filter(pl.col("channel") != ALL)
    if channels.is_empty():
        return ""
    rows = []
    for row in channels.iter_rows(named=True):
        was, will = row["spend_current"], row["spend_planned"]
        change = f" ({percent(will / was - 1, signed=True)})" if was else ""
        rows.append((row["channel"], was, will, f"{amount(was)} → {amount(will)}{change}"))
    legend = [
        ('<rect class="was" x="1" y="2" width="20" height="10"/>', "current spend"),
        ('<rect class="will" y="2" width="22" height="10"/>', "planned spend"),
    ]
    return svg.key(legend) + svg.pairs(rows, "Current and planned spend by channel")
