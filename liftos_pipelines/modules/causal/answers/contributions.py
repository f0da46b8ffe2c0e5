"""What made the outcome of each week, and what the spend of each quarter returned.

Two questions that carry-over sets apart. `contributions` is about weeks of outcome: what media of that week and of the
weeks before made of it. `returns` is about weeks of spend: what they brought, then and later, also after the last week.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import MARGIN, Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws, Media
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.tables import ALL, table

BASELINE, INTERPLAY = "baseline", "interplay"
MOST_DRAWS, LEAST_DRAWS = 500, 100
MOST_CELLS = 800_000
"""Geo-weeks times draws held at once."""
YEAR = 52
BAND = (0.05, 0.95)


def contributions(fitted: Fitted) -> pl.DataFrame:
    """The table `causal/contributions`: outcome by week, geo (and all) and what made it.

    A channel's part is the outcome against the same weeks had it never run. Non-media treatments count from their
    reference value, the baseline is all else. In the additive form the parts add up to the expected outcome. In the
    multiplicative form they are shares of the outcome as it was, each what would be lost without that one; what they
    have together is the row `interplay`, and with it they add up to the outcome.

    Extra columns: kind (paid, organic, treatment, baseline, interplay), spend, carry_in_known. Before the first week no
    exposure is known and the model takes it for none: where carry_in_known is false, part of what earlier spend still
    did stands in the baseline.
    """
    design, draws = fitted.design, fitted.draws.thin(_draws_for(fitted.design))
    _, geos, weeks = design.shape
    known = np.arange(weeks) >= fitted.media.structure.max_lag
    frames = []
    for name, kind, part in _parts(fitted, draws):
        c = design.channels.index(name) if kind in ("paid", "organic") else None
        carried = c is not None and fitted.media.structure.carry[c] != "none"
        spend = design.spend[c] if c is not None and kind == "paid" else None
        for g in (None, *range(geos)):
            one = part.sum(axis=1) if g is None else part[:, g]
            low, high = np.quantile(one, BAND, axis=0)
            paid = None if spend is None else spend.sum(axis=0) if g is None else spend[g]
            frames.append(
                pl.DataFrame(
                    {
                        "date": design.weeks,
                        "geo": ALL if g is None else design.geos[g],
                        "channel": name,
                        "contribution": one.mean(axis=0),
                        "contribution_low": low,
                        "contribution_high": high,
                        "kind": kind,
                        "spend": pl.Series([None] * weeks if paid is None else paid, dtype=pl.Float64),
                        "carry_in_known": known if carried else np.ones(weeks, dtype=bool),
                    }
                )
            )
    return pl.concat(frames).sort("date", "geo", "channel")


def _draws_for(design: Design) -> int:
    _, geos, weeks = design.shape
    return int(np.clip(MOST_CELLS // (geos * weeks), LEAST_DRAWS, MOST_DRAWS))


def _parts(fitted: Fitted, draws: Draws) -> Iterator[tuple[str, str, FloatArray]]:
    """Name, kind and (n_draws, n_geos, n_weeks) in outcome of all that the outcome is made of."""
    design = fitted.design
    shape = (len(draws), len(design.geos), len(design.weeks))
    if draws.beta is None:
        raise ValueError("the draws have no baseline: call with_baseline first")
    left = design.to_outcome((draws.beta @ design.baseline.T).reshape(shape)) if not design.log else None
    total = np.zeros(shape)
    in_logs = np.zeros(shape)
    for c, name in enumerate(design.channels):
        part = fitted.gained(draws, c)
        if design.log:
            in_logs += fitted.media.contribution(draws, c)
            total += part
        yield name, "paid" if c < design.paid else "organic", part
    for treatment in design.treatments:
        change = (draws.beta[:, list(treatment.columns)] @ treatment.change.T).reshape(shape)
        if left is not None:
            part = change * design.unit
            left = left - part
        else:
            part = design.outcome * (1 - np.exp(-design.scales.spread * change))
            in_logs += change
            total += part
        yield treatment.name, "treatment", part
    if left is not None:
        yield BASELINE, BASELINE, left
        return
    base = design.outcome * np.exp(-design.scales.spread * in_logs)
    yield BASELINE, BASELINE, base
    yield INTERPLAY, INTERPLAY, design.outcome - base - total


def stretched(media: Media, weeks: int) -> Media:
    """The same media with `weeks` more of silence after the last, for what is still to come of earlier exposure.

    Only for responses: outcome and baseline of its design keep their length.
    """
    design = media.design
    pad = np.zeros((*design.shape[:2], weeks))
    days = tuple(design.weeks[-1] + timedelta(weeks=i + 1) for i in range(weeks))
    longer = replace(
        design,
        weeks=(*design.weeks, *days),
        x=np.concatenate([design.x, pad], axis=2),
        multiplier=np.concatenate([design.multiplier, pad], axis=2),
    )
    return Media(longer, media.structure)


def year_before(values: FloatArray, weeks: int) -> FloatArray:
    """`weeks` more values along the last axis: those of the same weeks a year before, else the last one."""
    known = values.shape[-1]
    places = [known - YEAR + i % YEAR if known >= YEAR else known - 1 for i in range(weeks)]
    return np.asarray(values[..., places])


def quarters(weeks: tuple[date, ...]) -> list[tuple[str, slice]]:
    """Names such as 2024-Q1 and positions of the weeks that begin in them, in order."""
    names = [f"{week.year}-Q{(week.month + 2) // 3}" for week in weeks]
    edges = [i for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    return [(names[a], slice(a, b)) for a, b in zip(edges, [*edges[1:], len(names)], strict=True)]


def returns(fitted: Fitted) -> pl.DataFrame:
    """The table `causal/returns`: what spend returned, by period (`all` and quarters), geo (and all) and channel.

    A period's part is the outcome against the same weeks without the channel's spend (or exposure) in that period:
    effects in later weeks belong to the period of the spend. Because channels saturate, quarters add up to less than
    the whole. `contribution`, `roi`, `mroi` count the weeks of the data; columns that end in `_full` add what is
    expected after the last week, with the channel silent then, and cost per outcome and effectiveness count in full.
    What spend before the first week still did is nobody's.

    Extra columns: kind, period_start, period_end, exposure, contribution_full, roi_full, mroi_full, cost_per_outcome
    (spend over expected incremental outcome), marginal_cost_per_outcome (of one more per cent), effectiveness (outcome
    per exposure), each with its interval. Without revenue the returns are null, without spend the costs too.
    """
    design, draws = fitted.design, fitted.draws.thin(_draws_for(fitted.design))
    after = fitted.media.structure.max_lag
    longer = stretched(fitted.media, after)
    _, _, weeks = design.shape
    worth = fitted.worth()
    worth = np.concatenate([worth, year_before(worth, after)], axis=1)
    rows: list[dict[str, object]] = []
    periods = [_Period.of(longer, name, place) for name, place in ((ALL, slice(0, weeks)), *quarters(design.weeks))]
    for c, name in enumerate(design.channels):
        now = longer.contribution(draws, c)
        for period in periods:
            brought = _gain(fitted, draws, period, c, now, 0.0)
            more = -_gain(fitted, draws, period, c, now, 1 + MARGIN) / MARGIN
            rows += _return_rows(design, c, name, period, brought, more, worth)
    schema = table("causal/returns").columns | RETURN_COLUMNS
    return pl.DataFrame([{key: row.get(key) for key in schema} for row in rows], schema=schema)


@dataclass(frozen=True, kw_only=True)
class _Period:
    """Weeks of spend, `place`, and media from as long before them as exposure carries over to as long after."""

    name: str
    place: slice
    begin: int
    end: int
    media: Media

    @classmethod
    def of(cls, longer: Media, name: str, place: slice) -> _Period:
        lag, total = longer.structure.max_lag, longer.design.shape[2]
        begin, end = max(0, place.start - lag), min(total, place.stop + lag)
        design = longer.design
        part = replace(
            design,
            weeks=design.weeks[begin:end],
            x=design.x[:, :, begin:end],
            multiplier=design.multiplier[:, :, begin:end],
        )
        return cls(name=name, place=place, begin=begin, end=end, media=Media(part, longer.structure))


def _gain(fitted: Fitted, draws: Draws, period: _Period, c: int, now: FloatArray, scale: float) -> FloatArray:
    """(n_draws, n_geos, n_weeks from the period's first to the last it reaches), outcome as it was less that with the
    channel scaled in the period."""
    design = fitted.design
    first, weeks = period.place.start, len(design.weeks)
    scales = np.ones(period.end - period.begin)
    scales[first - period.begin : period.place.stop - period.begin] = scale
    other = period.media.contribution(draws, c, scales)[:, :, first - period.begin :]
    here = now[:, :, first : period.end]
    if not design.log:
        return np.asarray((here - other) * design.unit)
    spread, known = design.scales.spread, min(period.end, weeks) - first
    inside = design.outcome[:, first : first + known] * (1 - np.exp(spread * (other - here)[:, :, :known]))
    without = year_before(design.outcome * np.exp(-spread * now[:, :, :weeks]), here.shape[2] - known)
    later = without * (np.exp(spread * here[:, :, known:]) - np.exp(spread * other[:, :, known:]))
    return np.concatenate([inside, later], axis=2)


_BANDED = (
    "contribution_full",
    "roi_full",
    "mroi_full",
    "cost_per_outcome",
    "marginal_cost_per_outcome",
    "effectiveness",
)
RETURN_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "period_start": pl.Date(),
    "period_end": pl.Date(),
    "exposure": pl.Float64(),
} | {f"{name}{end}": pl.Float64() for name in _BANDED for end in ("", "_low", "_high")}


def _return_rows(
    design: Design,
    c: int,
    name: str,
    period: _Period,
    brought: FloatArray,
    more: FloatArray,
    worth: FloatArray,
) -> Iterator[dict[str, object]]:
    place = period.place
    # Gains begin with the period; what lies within the data is what comes before its end.
    weeks = len(design.weeks) - place.start
    worth = worth[:, place.start : period.end]
    size = design.scales.size[:, None]
    exposed = design.x[c] * design.scales.media[c]
    exposed = exposed * (design.multiplier[c] * design.scales.reach[c] if design.frequency[c] else 1.0) * size
    for g in (None, *range(len(design.geos))):
        chosen = slice(None) if g is None else slice(g, g + 1)
        spend, exposure = (float(values[chosen, place].sum()) for values in (design.spend[c], exposed))
        paid = c < design.paid
        gain, extra = brought[:, chosen], more[:, chosen]
        full, extra_full = gain.sum(axis=(1, 2)), extra.sum(axis=(1, 2))
        row: dict[str, object] = {
            "period": period.name,
            "geo": ALL if g is None else design.geos[g],
            "channel": name,
            "kind": "paid" if paid else "organic",
            "period_start": design.weeks[place][0],
            "period_end": design.weeks[place][-1] + timedelta(days=6),
            "spend": spend if paid else None,
            "exposure": exposure,
        }
        row |= _banded("contribution", gain[:, :, :weeks].sum(axis=(1, 2))) | _banded("contribution_full", full)
        if exposure > 0:
            row |= _banded("effectiveness", full / exposure)
        if spend > 0:
            row |= _cost("cost_per_outcome", spend, full) | _cost("marginal_cost_per_outcome", spend, extra_full)
        if spend > 0 and design.money:
            value, margin = gain * worth[chosen], extra * worth[chosen]
            row |= _banded("roi", value[:, :, :weeks].sum(axis=(1, 2)) / spend)
            row |= _banded("mroi", margin[:, :, :weeks].sum(axis=(1, 2)) / spend)
            row |= _banded("roi_full", value.sum(axis=(1, 2)) / spend)
            row |= _banded("mroi_full", margin.sum(axis=(1, 2)) / spend)
        yield row


def _banded(name: str, draws: FloatArray) -> dict[str, object]:
    low, high = np.quantile(draws, BAND)
    return {name: float(draws.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def _cost(name: str, spend: float, gained: FloatArray) -> dict[str, object]:
    """Spend over the expected gain; the interval's ends are spend over the other ends of the gain's."""
    mean, (low, high) = float(gained.mean()), np.quantile(gained, BAND)
    if low <= 0 or mean <= 0:
        return {}
    return {name: spend / mean, f"{name}_low": spend / float(high), f"{name}_high": spend / float(low)}
