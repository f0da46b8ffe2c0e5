"""Past decisions about spend: what they truly gained by the world's own response, and what was measured of them.

When a campaign begins, spend on some channels is raised or cut for its weeks in two of the four geos. What the panel
shows is spend after the decision, so the true effect is the response to that spend less the response to what would have
been spent without it, less the money: per euro moved, carry-over included. Nothing is drawn for it. Most effects are
measured by a geo test with the error that the world's weekly noise leaves it. Display was never tested: it was raised
each time, as its platform reported what it claims, far above what it caused (Gordon, Zettelmeyer, Bhargava and Chapsky,
2019, A comparison of approaches to advertising measurement: attribution overstates lift by a multiple).

So experience misleads in two ways that only a causal model of today can notice: by what the platform claims of itself,
and because more was gained when less was spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any

import numpy as np

from liftos_pipelines.simulate.marketing import (
    CHANNELS,
    GEOS,
    LAGS,
    NOISE_SHARE,
    REVENUE_PER_CONVERSION,
    FloatArray,
    Marketing,
    response,
)
from liftos_pipelines.simulate.setting import CAMPAIGNS, WEEK_STARTS, WEEKS, Campaign, at, stream

METRIC = "net_gain_per_euro_moved"
KIND = "spend_at_start"
FIRST, LAST = date(2024, 3, 1), date(2025, 6, 30)
"""Campaigns that began in this span were opportunities to decide; their effects were known before the newest began."""
BEFORE_WEEKS = 26
"""Weeks before a geo test from which its comparison is learned."""
CLAIMING = ("display",)
"""Channels whose platform is the only one to measure them: every report led to more spend, none to a test."""
CLAIMED, CLAIM_SD = 1.2, 0.15
"""Net gain per euro that the display platform claims of itself, and how much its claims differ."""
CURRENT_WEEKS = 52

MOVES: dict[str, tuple[float, float]] = {
    "tv": (0.5, -0.4),
    "search": (0.5, -0.4),
    "social": (0.5, -0.4),
    "video": (0.5, -0.5),
    "display": (0.5, -0.5),
}
"""The raise and the cut of each channel, as shares of its spend."""

CONTEXTS = (
    "Launch of {campaign} on {channel}, aim is {objective}: how should the budget of its weeks be spread?",
    "Budget review as {campaign} begins, a {channel} flight for {objective}",
    "{campaign} starts on {channel} for {objective}, what do we spend beside it",
)


@dataclass(frozen=True, kw_only=True)
class SpendDecisions:
    """`rows` are what the client brings; `truth` says of each what it truly gained, and of each action what it would."""

    rows: list[dict[str, Any]]
    truth: dict[str, Any]


def action_of(channel: str, share: float) -> str:
    return f"{'increase' if share > 0 else 'cut'} {channel} budget by {abs(share):.0%}".replace("%", " %")


def generate(seed: int, panel: Marketing) -> SpendDecisions:
    rng = stream(seed, "spend_decisions")
    began = [c for c in CAMPAIGNS if FIRST <= c.start <= LAST]
    rows: list[dict[str, Any]] = []
    decisions: dict[str, Any] = {}
    for c, channel in enumerate(CHANNELS):
        # Each channel is raised at half of the starts and cut at the others; display at all, its reports being so good.
        raised = rng.permutation(np.arange(len(began)) % 2 == 0) | (channel.name in CLAIMING)
        for campaign, more in zip(began, raised, strict=True):
            share = MOVES[channel.name][0 if more else 1]
            first, weeks = WEEK_STARTS.index(campaign.start), _weeks(campaign)
            geos = _tested(rng, panel, c, first, weeks)
            true = net_gain(panel, c, first, weeks, geos, before=1 / (1 + share), after=1.0)
            claimed = channel.name in CLAIMING
            std_error = CLAIM_SD if claimed else _geo_test_error(panel, c, first, weeks, geos, share)
            mean = CLAIMED if claimed else true
            decision_id = f"s-{channel.name}-{campaign.campaign_id}"
            rows.append(
                {
                    "outcome_id": decision_id,
                    "decided_at": at(campaign.start, rng.uniform(28_800, 61_200)),
                    "context": str(rng.choice(CONTEXTS)).format(
                        campaign=campaign.name, channel=campaign.channel, objective=campaign.objective
                    ),
                    "action": action_of(channel.name, share),
                    "metric": METRIC,
                    "effect": round(float(rng.normal(mean, std_error)), 4),
                    "std_error": round(std_error, 4),
                    "campaign_id": campaign.campaign_id,
                    "domain": "causal",
                }
            )
            decisions[decision_id] = {
                "action": action_of(channel.name, share),
                "geos": [list(GEOS)[g] for g in geos],
                "weeks": weeks,
                "true_effect": true,
                "measured_by": "platform's claim" if claimed else "geo test",
            }
    rows.sort(key=lambda row: (row["decided_at"], row["outcome_id"]))
    return SpendDecisions(
        rows=rows, truth={"metric": METRIC, "kind": KIND, "decisions": decisions, "actions": _actions(panel)}
    )


def net_gain(
    panel: Marketing, channel: int, first: int, weeks: int, geos: tuple[int, ...], *, before: float, after: float
) -> float:
    """True net gain per euro moved when spend of some weeks and geos goes from `before` to `after` times the panel's.

    Revenue of the response's difference, carry-over included as far as the panel goes, less the money, over the money.
    """
    gained = _scaled(panel, channel, first, weeks, geos, after) - _scaled(panel, channel, first, weeks, geos, before)
    money = float(panel.spend[list(geos), first : first + weeks, channel].sum()) * (after - before)
    return float((gained * REVENUE_PER_CONVERSION - money) / abs(money))


def _scaled(panel: Marketing, channel: int, first: int, weeks: int, geos: tuple[int, ...], scale: float) -> float:
    """All conversions of a channel when its exposure in some weeks and geos is `scale` times the panel's."""
    exposure = panel.impressions[:, :, channel].copy()
    exposure[list(geos), first : first + weeks] *= scale
    return float(respond(panel, channel, exposure).sum())


def respond(panel: Marketing, channel: int, exposure: FloatArray) -> FloatArray:
    """True conversions of a channel, (n_geos, n_weeks), from any exposure of that shape in impressions."""
    return response(
        exposure,
        np.array(list(GEOS.values()), dtype=float),
        retention=CHANNELS[channel].retention,
        half_saturation=float(panel.half_saturation[channel]),
        ceiling=float(panel.ceiling[channel]),
        effect=panel.effect[:, channel],
    )


def _weeks(campaign: Campaign) -> int:
    """A decision holds for its campaign's weeks, a quarter at most."""
    return min(12, ((campaign.end - campaign.start).days + 1) // 7)


def _tested(rng: np.random.Generator, panel: Marketing, channel: int, first: int, weeks: int) -> tuple[int, ...]:
    """Two geos in which the channel spends at least half of its usual money in the weeks of the test."""
    pairs = list(combinations(range(len(GEOS)), 2))
    spend = panel.spend[:, :, channel]
    for place in rng.permutation(len(pairs)):
        pair = list(pairs[place])
        if spend[pair, first : first + weeks].mean() >= 0.5 * spend[pair].mean():
            return pairs[place]
    return max(pairs, key=lambda pair: float(spend[list(pair), first : first + weeks].sum()))


def _geo_test_error(
    panel: Marketing, channel: int, first: int, weeks: int, geos: tuple[int, ...], share: float
) -> float:
    """Standard error of a test against the other geos, per euro moved: their weeks' noise and that of the comparison,
    which is learned from `BEFORE_WEEKS`. Weeks in which the effect carries over are watched too."""
    level = panel.baseline.mean(axis=1)
    others = [g for g in range(len(GEOS)) if g not in geos]
    ratio = level[list(geos)].sum() / level[others].sum()
    week = NOISE_SHARE * float(np.sqrt((level[list(geos)] ** 2).sum() + ratio**2 * (level[others] ** 2).sum()))
    watched = weeks + LAGS - 1
    noise = week * float(np.sqrt(watched * (1 + watched / BEFORE_WEEKS))) * REVENUE_PER_CONVERSION
    money = float(panel.spend[list(geos), first : first + weeks, channel].sum()) * abs(1 - 1 / (1 + share))
    return noise / money


def _actions(panel: Marketing) -> dict[str, Any]:
    """Of each action what it would gain now: in every week of the newest year, and in how many of its quarters."""
    everywhere = tuple(range(len(GEOS)))
    quarter, first = 12, WEEKS - CURRENT_WEEKS
    found = {}
    for c, channel in enumerate(CHANNELS):
        spend = float(panel.spend[:, first:, c].sum())
        now = respond(panel, c, panel.impressions[:, :, c])[:, first:].sum()
        for share in MOVES[channel.name][: 1 if channel.name in CLAIMING else 2]:
            then = respond(panel, c, panel.impressions[:, :, c] * (1 + share))[:, first:].sum()
            net = float(then - now) * REVENUE_PER_CONVERSION - share * spend
            occasions = [
                net_gain(panel, c, start, quarter, everywhere, before=1.0, after=1 + share)
                for start in range(first, WEEKS - quarter - LAGS + 2)
            ]
            found[action_of(channel.name, share)] = {
                "channel": channel.name,
                "share": share,
                "net_gain_now": net,
                "per_euro_now": net / (abs(share) * spend),
                "p_helps": float(np.mean(np.array(occasions) > 0)),
            }
    return found


def future_gains(panel: Marketing, channel: int, weeks: int, amounts: FloatArray) -> FloatArray:
    """True revenue that `amounts` of money in all gain in the weeks after the panel, carry-over included.

    The current plan repeats the newest `weeks`; an amount comes on top in equal parts a week, and the channel's spend is
    then spread over geos as in the newest year, at what a euro bought there. After those weeks the plan goes on.
    """
    exposure, spend = panel.impressions[:, :, channel], panel.spend[:, :, channel]
    newest = spend[:, -CURRENT_WEEKS:]
    by_geo = newest.sum(axis=1) / newest.sum()
    bought = np.where(newest > 0, exposure[:, -CURRENT_WEEKS:], 0.0).sum(axis=1) / newest.sum(axis=1)
    again, base = exposure[:, -weeks:], spend[:, -weeks:].sum(axis=0)
    after = np.concatenate([again, again], axis=1)[:, :LAGS] if weeks < LAGS else again[:, :LAGS]

    def conversions(coming: FloatArray) -> float:
        return float(respond(panel, channel, np.concatenate([exposure, coming, after], axis=1))[:, WEEKS:].sum())

    as_now = conversions(again)
    return REVENUE_PER_CONVERSION * np.array(
        [conversions(np.outer(by_geo * bought, np.maximum(base + amount / weeks, 0.0))) - as_now for amount in amounts]
    )


def outlook_truth(panel: Marketing, campaign: Campaign, budget: float) -> dict[str, Any]:
    """What a campaign's budget truly gains in its weeks to come, and what any other amount would, by channel."""
    last = WEEK_STARTS[-1]
    whole = -(-((campaign.end - campaign.start).days + 1) // 7)
    left = sum(1 for week in range(1, 27) if date.fromordinal(last.toordinal() + 7 * week) <= campaign.end)
    names = [channel.name for channel in CHANNELS]
    own = future_gains(panel, names.index(campaign.channel), left, np.array([budget * left / whole]))
    gains = {}
    for c, name in enumerate(names):
        base = float(panel.spend[:, -left:, c].sum())
        amounts = np.round(np.linspace(-1.0, 1.0, 21) * max(base, float(panel.spend[:, :, c].sum()) * left / WEEKS), 2)
        gains[name] = {"amount": amounts.tolist(), "revenue": future_gains(panel, c, left, amounts).tolist()}
    return {"campaign_id": campaign.campaign_id, "weeks": left, "expected": float(own[0]), "gains": gains}
