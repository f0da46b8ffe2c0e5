"""Which geos to treat: matched randomisation, then a random choice among the draws that are best balanced.

The choice is random among balanced draws, not the single best one: a rule that always picks the same geos is no
randomisation, and its p-values mean nothing.
Sources: Morgan and Rubin (2012), Rerandomization to improve covariate balance in experiments; Imai, King and Nall
(2009), The essential role of pair matching in cluster-randomized experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.experiments.contrast import contrast_weights
from liftos_pipelines.modules.causal.experiments.geo_panel import (
    MIN_PRE_WEEKS,
    BoolArray,
    ExperimentError,
    FloatArray,
    GeoPanel,
)

DRAWS = 2000
ACCEPTED_SHARE = 0.05
SIZE_WEIGHT = 0.1
"""How much a gap in log size counts beside the weekly gap of the series, so that neither group is all small geos."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """`imbalance` of the chosen draw beside the median of the unrestricted draws; `spend_share` of the treated."""

    treated: tuple[str, ...]
    control: tuple[str, ...]
    excluded: tuple[str, ...]
    imbalance: float
    imbalance_random: float
    outcome_share: float
    spend_share: float | None
    n_draws: int
    n_accepted: int


def assign_geos(
    panel: GeoPanel,
    n_treated: int,
    *,
    excluded: Sequence[str] = (),
    max_spend_share: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Assignment:
    """Draw geos within strata of alike size, keep the balanced draws within the budget, choose one at random.

    Parameters
    ----------
    excluded : geos that are neither treated nor compared with
    max_spend_share : largest share of the channel's spend that the treated geos may carry

    Raises
    ------
    ExperimentError : one geo, no geo left to compare with, a budget share that no draw keeps, naming the least share
    """
    outcome, geos = usable(panel, excluded)
    _check_count(len(geos), n_treated)
    ways = draw_ways(outcome, n_treated, draws, seed)
    spend = _spend_share(panel, geos, ways)
    if max_spend_share is not None:
        if spend is None:
            raise ExperimentError("a budget share is asked for, and the panel has no spend of this channel by geo")
        if not (spend <= max_spend_share).any():
            raise ExperimentError(
                f"no draw of {n_treated} geos keeps to {max_spend_share:.0%} of the channel's spend; "
                f"the least found is {spend.min():.0%}: treat fewer geos or allow more"
            )
        ways, spend = ways[spend <= max_spend_share], spend[spend <= max_spend_share]
    badness = imbalance(outcome, ways)
    kept = accepted(badness)
    chosen = int(np.random.default_rng([seed, 1]).choice(kept))
    free = np.argsort(np.random.default_rng([seed, 2]).random((draws, len(geos))), axis=1) < n_treated
    mask = ways[chosen]
    return Assignment(
        treated=tuple(geo for geo, picked in zip(geos, mask, strict=True) if picked),
        control=tuple(geo for geo, picked in zip(geos, mask, strict=True) if not picked),
        excluded=tuple(sorted(excluded)),
        imbalance=float(badness[chosen]),
        imbalance_random=float(np.median(imbalance(outcome, free))),
        outcome_share=float(outcome[mask].sum() / outcome.sum()),
        spend_share=None if spend is None else float(spend[chosen]),
        n_draws=len(ways),
        n_accepted=len(kept),
    )


def usable(panel: GeoPanel, excluded: Sequence[str] = ()) -> tuple[FloatArray, tuple[str, ...]]:
    """Outcome and names of the geos a test may use.

    Raises
    ------
    ExperimentError : an excluded geo that is unknown, fewer than two geos, too few weeks, a geo without outcome
    """
    unknown = sorted(set(excluded) - set(panel.geos))
    if unknown:
        raise ExperimentError(f"excluded geo {', '.join(unknown)} is not in the panel ({', '.join(panel.geos)})")
    keep = [row for row, geo in enumerate(panel.geos) if geo not in set(excluded)]
    if len(keep) < 2:
        raise ExperimentError(
            f"{len(keep)} geo is left to draw from: a geo test is not possible; on national data use an on/off test"
        )
    if len(panel.weeks) < 2 * MIN_PRE_WEEKS:
        raise ExperimentError(f"{len(panel.weeks)} weeks of history are too few to balance geos on")
    outcome = panel.outcome[keep]
    silent = [panel.geos[row] for row in keep if not panel.outcome[row].mean() > 0]
    if silent:
        raise ExperimentError(f"geo {', '.join(silent)} has no outcome: exclude it")
    return outcome, tuple(panel.geos[row] for row in keep)


def draw_ways(outcome: FloatArray, n_treated: int, draws: int, seed: int) -> BoolArray:
    """(draws, n_geos): one geo from each of `n_treated` strata of neighbours in size, strata dealt anew each draw.

    Geos that do not fill a stratum are left to the comparison in that draw; which ones changes from draw to draw.
    """
    rng = np.random.default_rng([seed, 0])
    geos = len(outcome)
    by_size = np.argsort(outcome.mean(axis=1))
    per_stratum = geos // n_treated
    ways = np.zeros((draws, geos), dtype=bool)
    for draw in range(draws):
        members = by_size
        spare = geos - per_stratum * n_treated
        if spare:
            members = np.delete(by_size, rng.choice(geos, size=spare, replace=False))
        strata = members.reshape(n_treated, per_stratum)
        ways[draw, strata[np.arange(n_treated), rng.integers(0, per_stratum, size=n_treated)]] = True
    return ways


def imbalance(outcome: FloatArray, ways: BoolArray) -> FloatArray:
    """(n_ways,): root mean square weekly gap of treated and untreated, with a tenth of their gap in log size."""
    base = outcome.mean(axis=1)
    gap = contrast_weights(base, ways) @ (outcome / base[:, None])
    size = np.log(base)
    apart = ways @ size / ways.sum(axis=1) - ~ways @ size / (~ways).sum(axis=1)
    return np.asarray(np.sqrt((gap**2).mean(axis=1) + (SIZE_WEIGHT * apart) ** 2))


def accepted(badness: FloatArray, share: float = ACCEPTED_SHARE) -> NDArray[np.int64]:
    """Positions of the best balanced draws."""
    return np.argsort(badness, kind="stable")[: max(1, int(np.ceil(share * len(badness))))]


def _spend_share(panel: GeoPanel, geos: tuple[str, ...], ways: BoolArray) -> FloatArray | None:
    if panel.spend is None:
        return None
    rows = [panel.geos.index(geo) for geo in geos]
    spend = panel.spend[rows].sum(axis=1)
    return np.asarray(ways @ spend / spend.sum()) if spend.sum() > 0 else None


def _check_count(geos: int, n_treated: int) -> None:
    if not 1 <= n_treated < geos:
        raise ExperimentError(f"{n_treated} of {geos} geos cannot be treated: at least one must be, and one must not")
    if n_treated > geos // 2:
        raise ExperimentError(f"{n_treated} of {geos} geos are more than half: treat {geos // 2} or fewer")
