"""What each channel did: contribution, return on spend, marginal return, and its response curve, from draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.engine.draws import Draws, Media
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.tables import ALL, table

MARGIN = 0.01
"""Marginal return: of one more per cent of spend in every week and geo."""
MOST_DRAWS = 1000
CURVE_SCALES = np.round(np.arange(0.0, 2.0001, 0.1), 2)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A posterior beside the panel it was fitted on."""

    design: Design
    media: Media
    draws: Draws

    def gained(self, draws: Draws, channel: int, scale: float | FloatArray = 1.0) -> FloatArray:
        """(n_draws, n_geos, n_weeks), outcome with the channel at `scale` times its spend, less that without it.

        All else is as it was, the noise too. In the multiplicative form the parts of channels do not add up: each is
        what would be lost without that one.
        """
        response = self.media.contribution(draws, channel, scale)
        design = self.design
        if not design.log:
            return np.asarray(response * design.unit)
        now = self.media.contribution(draws, channel)
        spread = design.scales.spread
        return np.asarray(design.outcome * (np.exp(spread * (response - now)) - np.exp(-spread * now)))

    def worth(self) -> FloatArray:
        """(n_geos, n_weeks), what one outcome is worth: revenue where it is known, else 1."""
        _, geos, weeks = self.design.shape
        return np.ones((geos, weeks)) if self.design.price is None else self.design.price


def interval(draws: FloatArray) -> tuple[float, float, float]:
    """Mean and central 90 % interval over the first axis."""
    low, high = np.quantile(draws, [0.05, 0.95])
    return float(draws.mean()), float(low), float(high)


def channel_results(fitted: Fitted) -> pl.DataFrame:
    """The table `causal/channel_results`; extra columns kind, contribution_share, revenue, revenue_low, revenue_high.

    Contribution is outcome against the same weeks without the channel. ROI is revenue per currency of spend, null
    where revenue is unknown or nothing was spent; mROI that of one more per cent everywhere.
    """
    design, draws = fitted.design, fitted.draws.thin(MOST_DRAWS)
    price = design.price
    total_outcome = design.outcome.sum(axis=1)
    rows: list[dict[str, object]] = []
    for c, channel in enumerate(design.channels):
        now = fitted.gained(draws, c)
        paid = c < design.paid
        more = fitted.gained(draws, c, 1 + MARGIN) - now if paid and price is not None else None
        for g in (None, *range(len(design.geos))):
            chosen = slice(None) if g is None else slice(g, g + 1)
            contribution = now[:, chosen].sum(axis=(1, 2))
            spend = float(design.spend[c, chosen].sum())
            mean, low, high = interval(contribution)
            outcome = float(total_outcome[chosen].sum())
            row: dict[str, object] = {
                "channel": channel,
                "geo": ALL if g is None else design.geos[g],
                "spend": spend if paid else None,
                "contribution": mean,
                "contribution_low": low,
                "contribution_high": high,
                "kind": "paid" if paid else "organic",
                "contribution_share": mean / outcome if outcome > 0 else None,
            }
            if price is not None:
                revenue = (now[:, chosen] * price[chosen]).sum(axis=(1, 2))
                row |= _named("revenue", revenue)
                if more is not None and spend > 0:
                    row |= _named("roi", revenue / spend)
                    row |= _named("mroi", (more[:, chosen] * price[chosen]).sum(axis=(1, 2)) / (MARGIN * spend))
            rows.append(row)
    schema = table("causal/channel_results").columns | {
        "kind": pl.String(),
        "contribution_share": pl.Float64(),
        "revenue": pl.Float64(),
        "revenue_low": pl.Float64(),
        "revenue_high": pl.Float64(),
    }
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _named(name: str, draws: FloatArray) -> dict[str, object]:
    mean, low, high = interval(draws)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def response_at(fitted: Fitted, draws: Draws, channel: int, scale: float | FloatArray, weeks: int) -> FloatArray:
    """(n_draws,), a channel's response in the newest `weeks` had all its spend been `scale` times what it was.

    The whole history is scaled, so that carry-over into the window is that of the scaled plan: its steady state.
    Units: revenue where known, else outcome.
    """
    response = fitted.gained(draws, channel, scale)[:, :, -weeks:]
    return np.asarray((response * fitted.worth()[None, :, -weeks:]).sum(axis=(1, 2)))


def response_curves(fitted: Fitted, plan_weeks: int) -> pl.DataFrame:
    """The table `causal/response_curves`: spend and response over the newest `plan_weeks`.

    Extra columns: scale (1 is current), beyond_observed (the mean week would exceed the channel's highest week),
    unit (revenue or outcome), weeks.
    """
    design, draws = fitted.design, fitted.draws.thin(MOST_DRAWS // 2)
    weeks = min(plan_weeks, len(design.weeks))
    rows: list[dict[str, object]] = []
    for c in range(design.paid):
        spend = float(design.spend[c, :, -weeks:].sum())
        if spend <= 0:  # off air throughout the window: there is no spend to scale
            continue
        highest = float(design.spend[c].sum(axis=0).max())
        for scale in CURVE_SCALES:
            rows.append(
                {
                    "channel": design.channels[c],
                    "spend": spend * scale,
                    **_named("response", response_at(fitted, draws, c, float(scale), weeks)),
                    "scale": float(scale),
                    "beyond_observed": bool(spend * scale / weeks > highest),
                    "unit": "revenue" if design.money else "outcome",
                    "weeks": weeks,
                }
            )
    if not rows:
        return table("causal/response_curves").empty()
    return pl.DataFrame(rows)
