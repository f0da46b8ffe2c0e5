"""What a dated geo test did: outcome added in all treated geos over the test's weeks, by one method or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from liftos_pipelines.modules.causal.experiments import placebo
from liftos_pipelines.modules.causal.experiments.did import difference_in_differences, event_study
from liftos_pipelines.modules.causal.experiments.geo_panel import MAX_PRE_WEEKS, GeoPanel, Placed, place
from liftos_pipelines.modules.causal.experiments.synthetic import synthetic_control

Method = Literal["did", "synthetic_control"]
METHODS: tuple[Method, ...] = ("did", "synthetic_control")
PRETREND_ALPHA = 0.05
POOR_FIT = 0.10


@dataclass(frozen=True, kw_only=True)
class Readout:
    """`effect`, `low`, `high` in outcome over the whole window and all treated geos (90 %); `lift` is `effect` as a
    share of what would have been. An end that the data cannot bound is infinite, and a note says so.

    `p_value` is the method's own, `p_placebo` by placebos in space (other geos), `p_time` by earlier dates.
    `pre_fit` is the root mean square gap before the test as a share of the treated level.
    `placebo_ratio` is the effect's size over the root mean square of the placebo effects in space.
    """

    method: Method
    effect: float
    low: float
    high: float
    p_value: float | None
    p_placebo: float | None
    p_time: float | None
    pretrend_p: float | None
    lift: float
    n_treated: int
    n_control: int
    n_pre: int
    n_window: int
    pre_fit: float
    placebo_ratio: float | None
    inference: str
    notes: tuple[str, ...]


def read_out(
    panel: GeoPanel,
    treated: Sequence[str],
    start: date,
    end: date,
    *,
    method: Method,
    pre_weeks: int = MAX_PRE_WEEKS,
    level: float = 0.9,
    seed: int = 0,
) -> Readout:
    """Place the test, estimate, run the placebos.

    Raises
    ------
    ExperimentError : the test cannot be read out on these data (see `place`)
    """
    return read_placed(place(panel, treated, start, end, pre_weeks=pre_weeks), method, level=level, seed=seed)


def read_placed(placed: Placed, method: Method, *, level: float = 0.9, seed: int = 0) -> Readout:
    """As `read_out`, for a test already placed on the panel."""
    n_treated, n_pre = int(placed.treated.sum()), placed.n_pre
    notes = []
    pretrend: float | None = None
    if method == "did":
        estimate, p_placebo, placebos = difference_in_differences(placed, level=level, seed=seed)
        study = event_study(placed, seed=seed)
        pretrend = study.slope_p if study.joint_p is None else study.joint_p
        if pretrend is not None and pretrend < PRETREND_ALPHA:
            notes.append(f"treated and untreated geos moved apart before the test (p = {pretrend:.3f})")
        gap = study.effect[:n_pre]
    else:
        estimate, fit = synthetic_control(placed, level=level)
        p_placebo, placebos = placebo.synthetic_in_space(placed, seed=seed)
        gap = fit.gap[:n_pre]
    if not np.isfinite([estimate.low, estimate.high]).all():
        notes.append("the weeks and geos are too few to bound the effect at 90 %")
    if len(placebos) < 19:
        notes.append(
            f"{len(placebos) + 1} assignments exist: a placebo p-value below {1 / (len(placebos) + 1):.2f}"
            " is not possible"
        )
    pre_fit = float(np.sqrt((gap**2).mean()))
    if pre_fit > POOR_FIT:
        notes.append(f"the comparison misses the treated geos by {pre_fit:.0%} a week before the test")
    unit = float(placed.base[placed.treated].sum()) * placed.n_window
    observed = float(placed.outcome[placed.treated, n_pre:].sum())
    effect = estimate.effect * unit
    return Readout(
        method=method,
        effect=effect,
        low=estimate.low * unit,
        high=estimate.high * unit,
        p_value=None if np.isnan(estimate.p_value) else estimate.p_value,
        p_placebo=p_placebo,
        p_time=placebo.rank(estimate.effect, placebo.in_time(placed, method)),
        pretrend_p=pretrend,
        lift=effect / (observed - effect) if observed > effect else float("nan"),
        n_treated=n_treated,
        n_control=len(placed.treated) - n_treated,
        n_pre=n_pre,
        n_window=placed.n_window,
        pre_fit=pre_fit,
        placebo_ratio=placebo.ratio(estimate.effect, placebos),
        inference=estimate.inference,
        notes=tuple(notes),
    )
