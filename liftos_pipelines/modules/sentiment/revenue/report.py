"""The ladder as the table `sentiment/revenue_link`: one row for the verdict, then every rung's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.modules.sentiment.revenue import words
from liftos_pipelines.modules.sentiment.revenue.events import EventStudy
from liftos_pipelines.modules.sentiment.revenue.ladder import Ladder
from liftos_pipelines.modules.sentiment.revenue.predict import Gain
from liftos_pipelines.tables import table

LADDER = "ladder"
CORRELATION = "prewhitened cross-correlation"
GAIN = "out-of-sample gain"
SLOPE = "outcome per 0.1 net sentiment"
EVENT = "outcome after the shock"
POOLED = "outcome after all shocks"
FIRST, SAME, BEHIND = "sentiment first", "same period", "outcome first"

Row = dict[str, Any]


def link_table(ladder: Ladder) -> pl.DataFrame:
    """All rows of `sentiment/revenue_link`; `rung` 0 is the verdict over all rungs.

    `estimate` is a correlation (rung 1), a share of the squared forecast error saved or the (log) outcome per 0.1 of
    net sentiment (rung 2), or a mean difference from the foreseen path (rung 3). `p_value` of a correlation and of a
    gain is for the largest of all lags.
    """
    rows = [_verdict_row(ladder)]
    if ladder.missing is None:
        rows += [*_described(ladder), *_predicted(ladder), *_responded(ladder), *_shocked(ladder)]
    power = ladder.power
    common: Row = {
        "n": ladder.series.n,
        "controls": "; ".join(ladder.series.conditional_on) or "none",
        "smallest_visible": power.formula if power else words.smallest_visible(ladder.series.n, 1),
        "smallest_visible_simulated": power.simulated if power else None,
        "smallest_visible_per_tenth": _or_none(power.per_tenth) if power else None,
        "reliability": ladder.response.reliability if ladder.response else None,
    }
    contract = table("sentiment/revenue_link")
    return pl.DataFrame([row | common for row in rows], schema=contract.columns, orient="row")


def _row(rung: int, statistic: str, lag_days: int, verdict: str, **numbers: Any) -> Row:
    direction = FIRST if lag_days > 0 else BEHIND if lag_days < 0 else SAME
    base: Row = {
        "rung": rung, "statistic": statistic, "lag_days": lag_days, "direction": direction, "verdict": verdict,
        "estimate": None, "low": None, "high": None, "p_value": None, "words": verdict,
    }  # fmt: skip
    return base | {name: _or_none(value) for name, value in numbers.items()}


def _or_none(value: Any) -> Any:
    return None if isinstance(value, (float, np.floating)) and not np.isfinite(value) else value


def _verdict_row(ladder: Ladder) -> Row:
    claims = ladder.claims
    said, text = words.verdict(ladder), words.sentence(ladder)
    if ladder.missing is not None:
        return _row(0, LADDER, 0, said, words=text)
    assert ladder.described is not None
    assert ladder.forward is not None
    lag, p = 0, float(ladder.described.p_value.min())
    if claims.predicts is not None:
        lag, p = claims.predicts, float(ladder.forward.p_value.min())
    elif claims.leads is not None or claims.follows is not None:
        lag = claims.leads if claims.leads is not None else claims.follows or 0
        p = float(ladder.described.p_value[ladder.described.lags.index(lag)])
    if claims.events and ladder.events is not None:
        p = ladder.events.pooled_p
    return _row(0, LADDER, lag * ladder.series.step, said, estimate=float(claims.rung), p_value=p, words=text)


def _described(ladder: Ladder) -> Iterator[Row]:
    found = ladder.described
    assert found is not None
    for k, lag in enumerate(found.lags):
        days = lag * ladder.series.step
        if found.p_value[k] > ladder.claims.alpha:
            said = words.NONE
        else:
            said = words.LEADS.format(days=days) if lag > 0 else words.FOLLOWS if lag < 0 else words.TOGETHER
        numbers = {
            "estimate": found.estimate[k],
            "low": found.low[k],
            "high": found.high[k],
            "p_value": found.p_value[k],
        }
        yield _row(1, CORRELATION, days, said, **{name: float(value) for name, value in numbers.items()})


def _predicted(ladder: Ladder) -> Iterator[Row]:
    for gain, sign in ((ladder.forward, 1), (ladder.reverse, -1)):
        assert gain is not None
        yield from _gain_rows(ladder, gain, sign)


def _gain_rows(ladder: Ladder, gain: Gain, sign: int) -> Iterator[Row]:
    step = ladder.series.step
    for k, lag in enumerate(gain.lags):
        helps = gain.p_value[k] <= ladder.claims.alpha and gain.gain[k] > 0
        if not helps:
            said = "no better forecast"
        elif sign < 0:
            said = "the outcome helps to predict sentiment"
        else:
            said = words.PREDICTS if ladder.claims.predicts is not None else "better forecast, not claimed"
        yield _row(
            2, GAIN, sign * lag * step, said,
            estimate=float(gain.gain[k]), p_value=float(gain.p_value[k]),
            words=f"{said}: Clark-West {gain.clark_west[k]:.2f}, Diebold-Mariano {gain.diebold_mariano[k]:.2f} over "
            f"{gain.origins} origins",
        )  # fmt: skip
    for name, (strength, saved) in gain.placebos.items():
        said = "placebo beaten" if gain.strongest > strength else "placebo not beaten"
        yield _row(
            2, f"{GAIN}, placebo: {name}", sign * gain.lags[0] * step, said,
            estimate=saved, words=f"{said}: best Clark-West {strength:.2f} against {gain.strongest:.2f}",
        )  # fmt: skip


def _responded(ladder: Ladder) -> Iterator[Row]:
    found = ladder.response
    assert found is not None
    if found.reliability is None:
        said = "not corrected: the index has no standard error"
    elif found.corrected == 1:
        said = f"corrected for sampling noise (reliability {found.reliability:.2f})"
    else:
        said = (
            f"corrected for {found.corrected:.0%} of the sampling noise, the rest pulls towards zero "
            f"(reliability {found.reliability:.2f})"
        )
    for k, lag in enumerate(found.lags):
        values = {"estimate": found.estimate[k], "low": found.low[k], "high": found.high[k]}
        yield _row(
            2, SLOPE, lag * ladder.series.step, "conditional slope", p_value=float(found.p_value[k]), words=said,
            **{name: float(0.1 * value) for name, value in values.items()},
        )  # fmt: skip


def _shocked(ladder: Ladder) -> Iterator[Row]:
    found = ladder.events
    if found is None:
        return
    said = words.MOVED if ladder.claims.events else "outcome kept to its path after dated shocks"
    yield _row(
        3, POOLED, 0, said, estimate=found.pooled, low=found.pooled_low, high=found.pooled_high, p_value=found.pooled_p,
        words=f"{said}: {len(found.at)} shock(s) against {found.placebos.size} placebo dates",
    )  # fmt: skip
    yield from _events(ladder, found)


def _events(ladder: Ladder, found: EventStudy) -> Iterator[Row]:
    for k, at in enumerate(found.at):
        outside = found.low[k] > 0 or found.high[k] < 0
        yield _row(
            3, f"{EVENT} of {ladder.series.dates[at]}", 0,
            "outside the placebo dates' 90 %" if outside else "within the placebo dates' 90 %",
            estimate=float(found.estimate[k]), low=float(found.low[k]), high=float(found.high[k]),
            p_value=float(found.p_value[k]),
        )  # fmt: skip
