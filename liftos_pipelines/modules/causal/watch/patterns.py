"""What recurs over full fits: a response that shifts, carry-over that lengthens, a treatment that always harms.

Successive fits share most of their data, so their estimates rise and fall together and a run of them proves nothing.
What does not overlap is what each fit learned that the one before had not: for nested data and a quantity that does
not change, posterior means are a martingale, and their steps are uncorrelated with variance sd_before^2 - sd_after^2.
Standardised steps are tested by an e-process: a mixture over sizes and starts of a lasting shift, whose supremum
exceeds 1 / alpha with probability alpha at most, however often and for however long one looks (Ville's inequality).
Sources: Hausman (1978), Specification tests in econometrics, for the variance of steps between nested estimates;
Shafer et al. (2011), Test martingales, Bayes factors and p-values; Ramdas et al. (2023), Game-theoretic statistics.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy.special import log_ndtr, logsumexp

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.watch.fit_history import EFFECT, MEAN_LAG, RETURN
from liftos_pipelines.modules.causal.watch.occurrences import Recurring
from liftos_pipelines.tables import table

ALPHA = 0.05
"""Chance of one false pattern of a kind, ever, over all channels together."""
APART = 4
"""Weeks that a fit must have seen beyond the one it is held against: of less, sampling noise is most of a step."""
LEAST_FITS = 3
FLOOR = 0.5
"""Share of what weeks alone would have taught that a step is given at least, however little an sd fell."""
CUT = 4.0
"""A single odd fit is not a pattern: standardised steps are cut off here, which only makes alarms rarer."""
EXPECTED = {RETURN: 0.4, MEAN_LAG: 1.0}
"""Typical size of a shift worth finding: of a log return, and in weeks."""
STARTS = 24
"""Steps at which a shift is as likely to begin as at any other."""
LOG_TWO = float(np.log(2))


@dataclass(frozen=True, kw_only=True)
class Shift:
    """`p_value` holds at any time one looks; `first`, `last`: last weeks of the fit at which the likeliest shift began
    and of the last fit at which it still shows; `change` of the estimate since, in its own (log) unit."""

    p_value: float
    first: date
    last: date
    change: float
    fits: int


def nested_steps(fits: pl.DataFrame, logged: bool) -> tuple[pl.DataFrame, FloatArray, FloatArray]:
    """Fits at least `APART` weeks after one another, and what each learned: steps and their variances under no change.

    Parameters
    ----------
    fits : rows of one quantity of comparable fits
    """
    mean, sd, mcse = (f"log_{n}" if logged else n for n in ("mean", "sd", "mcse"))
    usable = fits.drop_nulls([mean, sd, mcse]).sort("last_week", "fitted_at").unique("last_week", keep="last")
    kept: list[dict[str, Any]] = []
    for row in usable.sort("last_week").iter_rows(named=True):
        if not kept or (row["last_week"] - kept[-1]["last_week"]).days >= 7 * APART:
            kept.append(row)
    chosen = pl.DataFrame(kept, schema=fits.schema)
    at, spread, error = (chosen[name].to_numpy().astype(float) for name in (mean, sd, mcse))
    weeks = chosen["weeks"].to_numpy().astype(float)
    # Sampling noise lets an sd grow now and then: the falling path closest to all of them is what was learned.
    falling = _falling(spread**2)
    learned = np.maximum(falling[:-1] - falling[1:], FLOOR * falling[:-1] * (1 - weeks[:-1] / weeks[1:]))
    return chosen, np.diff(at), learned + error[:-1] ** 2 + error[1:] ** 2


def _falling(values: FloatArray) -> FloatArray:
    """The closest path that never rises (pool adjacent violators; Barlow et al., 1972)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] <= blocks[-1][0]:
            (above, many), (below, few) = blocks[-2:]
            blocks[-2:] = [((above * many + below * few) / (many + few), many + few)]
    return np.concatenate([np.full(many, value) for value, many in blocks])


def find_shift(fits: pl.DataFrame, *, logged: bool, expected: float, side: Literal["both", "up"]) -> Shift | None:
    """The likeliest lasting shift over fits; None with fewer than `LEAST_FITS` of them."""
    chosen, steps, variance = nested_steps(fits, logged)
    if chosen.height < LEAST_FITS:
        return None
    before = chosen["log_sd" if logged else "sd"].to_numpy().astype(float)[:-1]
    standard = np.clip(steps / np.sqrt(variance), -CUT, CUT)
    # A shift of 1 moves the mean by variance / sd^2, in standard deviations of the step by this:
    weight = np.sqrt(variance) / before**2
    looks = len(steps)
    start = np.arange(1.0, looks + 1)
    # Even over the first `STARTS` steps with half of all weight, then falling; all together at most 1.
    log_start = -np.log(np.where(start <= STARTS, 2.0 * STARTS, 2.0 * start * (start + 1) / (STARTS + 1)))
    best, best_look, best_start = -np.inf, 0, 0
    shown = 0
    for look in range(LEAST_FITS - 1, looks + 1):
        # A model that does not know of a shift may move further than its own sd would have it: half of the mixture is
        # about the steps as they are.
        linear = _evidence(standard[:look], weight[:look], expected, side)
        plain = _evidence(standard[:look], np.ones(look), 1.0, side)
        ratio = np.logaddexp(linear, plain) - LOG_TWO
        # Starts that lie ahead have a ratio of 1: all weights together are 1.
        ahead = np.log1p(-min(float(np.exp(log_start[:look]).sum()), 1 - 1e-12))
        evidence = float(logsumexp(np.append(log_start[:look] + ratio, ahead)))
        if evidence >= -np.log(ALPHA):
            shown = look
        if evidence > best:
            # A shift seen in one fit only is not yet a pattern.
            lasting = ratio[: look - LEAST_FITS + 2] + log_start[: look - LEAST_FITS + 2]
            best, best_look, best_start = evidence, look, int(np.argmax(lasting))
    weeks = chosen["last_week"].to_list()
    end = max(shown, best_look)
    return Shift(
        p_value=float(min(1.0, np.exp(-best))),
        first=weeks[best_start],
        last=weeks[end],
        change=float(steps[best_start:end].sum()),
        fits=end - best_start + 1,
    )


def _evidence(z: FloatArray, weight: FloatArray, expected: float, side: Literal["both", "up"]) -> FloatArray:
    """(n,), log likelihood ratio of z[i] ~ N(shift * weight[i], 1) from each start on against no shift, over a shift
    ~ N(0, expected), or its upper half."""
    tail = (z * weight)[::-1].cumsum()[::-1]
    square = (weight**2)[::-1].cumsum()[::-1]
    size = expected**2 / (1 + expected**2 * square)
    ratio = 0.5 * np.log(size / expected**2) + 0.5 * tail**2 * size
    return np.asarray(ratio + LOG_TWO + log_ndtr(tail * np.sqrt(size)) if side == "up" else ratio)


def find_patterns(history: pl.DataFrame, recurring: list[Recurring]) -> pl.DataFrame:
    """The table `causal/patterns`: what stands at `ALPHA` after adjusting for how many were looked at.

    Parameters
    ----------
    history : rows of `causal/fit_history`; those comparable with the newest fit are read
    recurring : treatments and events with three or more occurrences, from the newest fit
    """
    rows: list[dict[str, Any]] = []
    if history.height:
        comparable = history.sort("last_week", "fitted_at")["comparable"][-1]
        mine = history.filter(pl.col("comparable") == comparable)
        for kind, logged, side in ((RETURN, True, "both"), (MEAN_LAG, False, "up")):
            rows += _shifts(mine.filter(pl.col("kind") == kind), kind, logged, side, comparable)  # type: ignore[arg-type]
    rows += [_recurrence(one, len(recurring)) for one in recurring]
    kept = [row for row in rows if row["p_value"] <= ALPHA]
    columns = table("causal/patterns").columns
    return pl.DataFrame([{name: row[name] for name in columns} for row in kept], schema=columns)


def _shifts(
    fits: pl.DataFrame, kind: str, logged: bool, side: Literal["both", "up"], comparable: str
) -> list[dict[str, Any]]:
    names = fits["channel"].unique().sort().to_list()
    rows = []
    for name in names:
        found = find_shift(fits.filter(pl.col("channel") == name), logged=logged, expected=EXPECTED[kind], side=side)
        if found is None or found.change == 0 or (side == "up" and found.change < 0):
            continue
        if logged:
            word = "rising" if found.change > 0 else "falling"
            pattern, strength = f"response_{word}", float(np.expm1(found.change))
            detail = f"return of {name} {word} over {found.fits} fits: {strength:+.0%} since {found.first}"
        else:
            pattern, strength = "carry_over_lengthening", found.change
            detail = f"carry-over of {name} longer by {strength:.2f} weeks over {found.fits} fits since {found.first}"
        p_value = min(1.0, found.p_value * len(names))
        rows.append(_pattern(pattern, name, comparable, found.first, found.last, strength, p_value, detail))
    return rows


def _recurrence(one: Recurring, tried: int) -> dict[str, Any]:
    word = "treatment_lifts" if one.mean > 0 else "treatment_cannibalises"
    p_value = min(1.0, one.p_value * tried) if one.same_sign else 1.0
    detail = (
        f"{one.name}: {one.mean:+.1%} of the outcome on average over {len(one.effects)} occurrences and the "
        f"{one.after} weeks after each, all of one sign (sign-flip p {one.sign_flip:.3g}); p against as many windows "
        f"of the same length without it"
    )
    return _pattern(word, one.name, "", one.first, one.last, one.mean, p_value, detail)


def _pattern(
    kind: str, channel: str, series: str, first: date, last: date, strength: float, p_value: float, detail: str
) -> dict[str, Any]:
    key = hashlib.sha256(f"{kind}|{channel}|{series}".encode()).hexdigest()[:16]
    return {
        "pattern_id": key,
        "kind": kind,
        "channel": channel,
        "first_seen": first,
        "last_seen": last,
        "strength": strength,
        "p_value": p_value,
        "detail": detail,
    }


__all__ = ["ALPHA", "EFFECT", "Shift", "find_patterns", "find_shift", "nested_steps"]
