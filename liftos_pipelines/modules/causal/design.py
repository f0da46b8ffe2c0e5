"""From panel to arrays: fixed robust scales, media per head, and the linear baseline with its prior.

With y the outcome per head in units of its robust spread within geos, the model is

    y[g, t] = centre[g] + sum_c b_c w[c, g] S(adstock(x_c)[g, t]) + X[g, t] beta + noise,   beta ~ Normal(0, 1)

where each column of X already carries its prior standard deviation. Scales are fixed numbers that are stored with
the posterior, so that an update sees the same units; medians and quartiles keep one spike from shrinking the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.panel import CONTROL, EXPOSURE, ORGANIC, SPEND, PanelError, names_of
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.transforms import FloatArray, geometric_adstock

YEAR_WEEKS = 365.25 / 7
ROUGH_RETENTION, ROUGH_LAGS, RIDGE = 0.5, 8, 1e-3
SHOCK = "shock_"
WEEK_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Frozen units. `size` (n_geos,) heads; `spread` outcome per head; `centre` (n_geos,) outcome per head;
    `media` (n_channels,) median positive exposure per head; controls: (n_controls,) median and spread."""

    size: FloatArray
    spread: float
    centre: FloatArray
    media: FloatArray
    control_centre: FloatArray
    control_spread: FloatArray
    origin: date
    """First week of the fit; the trend counts from here."""
    knots: int
    shocks: tuple[date, ...] = ()
    """Weeks set apart as incidents: each has a term of its own (see `find_shocks`)."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A panel in model units. Geos, weeks and channels (paid first, then organic) are in this order everywhere."""

    geos: tuple[str, ...]
    weeks: tuple[date, ...]
    channels: tuple[str, ...]
    paid: int
    """How many of `channels` are paid; they stand first."""
    controls: tuple[str, ...]
    outcome: FloatArray
    """(n_geos, n_weeks), as brought."""
    spend: FloatArray
    """(n_channels, n_geos, n_weeks), currency; zero for organic."""
    price: FloatArray | None
    """(n_geos, n_weeks) revenue per outcome, None when unknown."""
    y: FloatArray
    """(n_geos, n_weeks), scaled and centred."""
    x: FloatArray
    """(n_channels, n_geos, n_weeks), exposure per head in units of `scales.media`."""
    baseline: FloatArray
    """(n_geos * n_weeks, n_columns), X above; rows run over weeks within geos."""
    columns: tuple[str, ...]
    scales: Scales

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_channels, n_geos, n_weeks)"""
        return (len(self.channels), len(self.geos), len(self.weeks))

    @property
    def unit(self) -> FloatArray:
        """(n_geos, 1), outcome of one unit of y."""
        return self.scales.size[:, None] * self.scales.spread

    @property
    def money(self) -> bool:
        return self.price is not None


def build_design(frame: pl.DataFrame, spec: ModelSpec, *, scales: Scales | None = None) -> Design:
    """Arrays of a panel; with `scales` of an earlier fit, in its units.

    Raises
    ------
    PanelError : fewer weeks than the model has parameters, or a geo or column that the fit did not have
    """
    frame = frame.sort("geo", "date")
    geos = tuple(frame["geo"].unique().sort().to_list())
    weeks = tuple(frame["date"].unique().sort().to_list())
    paid, organic, controls = names_of(frame, SPEND), names_of(frame, ORGANIC), names_of(frame, CONTROL)
    shape = (len(geos), len(weeks))

    def grid(column: str) -> FloatArray:
        return frame[column].to_numpy().astype(float).reshape(shape)

    outcome = grid("outcome")
    exposure = np.stack([grid(EXPOSURE + name) for name in paid] + [grid(ORGANIC + name) for name in organic])
    spend = np.stack([grid(SPEND + name) for name in paid] + [np.zeros(shape) for _ in organic])
    price = None if frame["revenue_per_outcome"].null_count() else grid("revenue_per_outcome")
    values = np.stack([grid(CONTROL + name) for name in controls]) if controls else np.empty((0, *shape))
    fresh = scales is None
    if scales is None:
        scales = _scales(frame, outcome, exposure, values, weeks, spec)
    elif len(scales.size) != len(geos) or len(scales.media) != len(exposure):
        raise PanelError("the panel has other geos or channels than the stored fit: refit the model")
    size = scales.size[:, None]
    y = (outcome / size - scales.centre[:, None]) / scales.spread
    x = exposure / size / scales.media[:, None, None]
    if fresh and spec.shock_z is not None:
        plain, _ = _baseline(geos, weeks, controls, values, scales, spec)
        scales = replace(scales, shocks=tuple(weeks[t] for t in find_shocks(y, x, plain, spec.shock_z)))
    baseline, columns = _baseline(geos, weeks, controls, values, scales, spec)
    return Design(
        geos=geos,
        weeks=weeks,
        channels=(*paid, *organic),
        paid=len(paid),
        controls=tuple(controls),
        outcome=outcome,
        spend=spend,
        price=price,
        y=y,
        x=x,
        baseline=baseline,
        columns=columns,
        scales=scales,
    )


def find_shocks(y: FloatArray, x: FloatArray, baseline: FloatArray, limit: float) -> list[int]:
    """Weeks in which all geos together leave a rough fit by more than `limit` robust standard deviations.

    An incident that the model has no word for would be laid at the door of whatever media ran in those weeks.
    Source of the iteration: Chen and Liu (1993), Joint estimation of model parameters and outlier effects.

    Parameters
    ----------
    y : (n_geos, n_weeks); x : (n_channels, n_geos, n_weeks); baseline : (n_geos * n_weeks, n_columns)

    Returns
    -------
    positions of weeks, ascending, at most one in twenty
    """
    geos, weeks = y.shape
    carried = geometric_adstock(x, np.full(len(x), ROUGH_RETENTION), ROUGH_LAGS)
    media = (carried / (carried + 1)).reshape(len(x), geos * weeks).T
    found: list[int] = []
    most = weeks // 20
    while len(found) < most:
        dummies = np.zeros((geos, weeks, len(found)))
        for i, week in enumerate(found):
            dummies[:, week, i] = 1
        terms = np.column_stack([baseline, media, dummies.reshape(geos * weeks, -1)])
        # Unit ridge on terms that carry their prior sd: never worse conditioned than the model itself.
        weight = np.linalg.solve(terms.T @ terms + RIDGE * np.eye(terms.shape[1]), terms.T @ y.ravel())
        mean = (y.ravel() - terms @ weight).reshape(geos, weeks).mean(axis=0)
        rest = np.delete(mean, found)
        z = np.abs(mean) / max(1.4826 * float(np.median(np.abs(rest - np.median(rest)))), 1e-12)
        z[found] = 0
        worst = int(np.argmax(z))
        if z[worst] <= limit:
            break
        found.append(worst)
    return sorted(found)


def require_enough_weeks(design: Design) -> None:
    """Refuse a model with more parameters than weeks.

    Raises
    ------
    PanelError : naming both numbers and what to change
    """
    channels, _, weeks = design.shape
    shared = sum(1 for name in design.columns if "@" not in name) + 1
    parameters = shared + 3 * channels + 1
    if weeks < parameters:
        raise PanelError(
            f"{weeks} weeks are fewer than the {parameters} parameters of the model ({channels} channels at 3 each, "
            f"{shared} baseline terms, 1 noise): bring more weeks, or set causal.seasonality, causal.knot_weeks or "
            "fewer channels and controls in client.yaml"
        )


def _scales(
    frame: pl.DataFrame,
    outcome: FloatArray,
    exposure: FloatArray,
    controls: FloatArray,
    weeks: Sequence[date],
    spec: ModelSpec,
) -> Scales:
    population = frame["population"].to_numpy().astype(float).reshape(outcome.shape)
    if np.all(np.isfinite(population) & (population > 0)):
        size = np.median(population, axis=1)
    else:
        # Without heads, a geo's own level says how large it is.
        size = np.maximum(np.median(outcome, axis=1), outcome.mean(axis=1))
    if np.any(size <= 0):
        raise PanelError(f"geo {sorted(frame['geo'].unique())[int(np.argmin(size))]} has no outcome; leave it out")
    per_head = outcome / size[:, None]
    centre = np.median(per_head, axis=1)
    spread = _spread(per_head - centre[:, None])
    exposed = exposure / size[None, :, None]
    media = np.array([np.median(channel[channel > 0]) for channel in exposed])
    return Scales(
        size=size,
        spread=spread,
        centre=centre,
        media=media,
        control_centre=np.array([np.median(control) for control in controls]),
        control_spread=np.array([_spread(control - np.median(control)) for control in controls]),
        origin=weeks[0],
        knots=max(2, round((len(weeks) - 1) / spec.knot_weeks) + 1),
    )


def _spread(centred: FloatArray) -> float:
    """1.4826 x median absolute deviation; the standard deviation where half the values are equal (0/1 events)."""
    robust = 1.4826 * float(np.median(np.abs(centred)))
    plain = float(np.std(centred))
    return robust if robust > 0.1 * plain else plain


def _baseline(
    geos: Sequence[str],
    weeks: Sequence[date],
    controls: Sequence[str],
    values: FloatArray,
    scales: Scales,
    spec: ModelSpec,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Design of the linear-Gaussian baseline, columns times prior sd, and their names (`@geo`: a geo's own)."""
    n_geos, n_weeks = len(geos), len(weeks)
    elapsed = np.array([(week - scales.origin).days / WEEK_DAYS for week in weeks])
    shared: list[tuple[str, FloatArray]] = []
    varying: list[tuple[str, FloatArray]] = []
    # A random walk over knots: beyond the last knot the trend stays where it is, with honest uncertainty.
    position = elapsed / spec.knot_weeks
    for knot in range(1, max(scales.knots, int(np.ceil(position[-1])) + 1)):
        shared.append((f"trend_{knot}", np.tile(spec.trend_sd * np.clip(position - (knot - 1), 0, 1), (n_geos, 1))))
    # Calendar days, so that an update continues the same season.
    day = np.array([week.timetuple().tm_yday for week in weeks]) / 365.25
    for order in range(1, spec.seasonality + 1):
        for name, wave in (("sin", np.sin), ("cos", np.cos)):
            column = np.tile(wave(2 * np.pi * order * day), (n_geos, 1))
            shared.append((f"{name}_{order}", spec.baseline_sd * column))
            if order == 1:
                varying.append((f"{name}_{order}", spec.geo_sd * column))
    varying.append(("slope", np.tile(spec.geo_sd * elapsed / YEAR_WEEKS, (n_geos, 1))))
    for name, value, centre, spread in zip(controls, values, scales.control_centre, scales.control_spread, strict=True):
        column = (value - centre) / spread
        shared.append((f"control_{name}", spec.baseline_sd * column))
        varying.append((f"control_{name}", spec.geo_sd * column))
    for shock in scales.shocks:
        hit = np.array([float(week == shock) for week in weeks])
        shared.append((f"{SHOCK}{shock.isoformat()}", np.tile(spec.baseline_sd * hit, (n_geos, 1))))
    # The level that media are added to may be anywhere between nothing and twice the outcome's level.
    own_level = np.maximum(scales.centre / scales.spread, spec.baseline_sd)
    level_sd = own_level if spec.level_sd is None else np.full(n_geos, spec.level_sd)
    columns: list[FloatArray] = []
    names: list[str] = []
    for g, geo in enumerate(geos):
        own = np.zeros((n_geos, n_weeks))
        own[g] = level_sd[g]
        columns.append(own.ravel())
        names.append("level" if n_geos == 1 else f"level@{geo}")
    for name, column in shared:
        columns.append(column.ravel())
        names.append(name)
    if n_geos > 1:
        for name, column in varying:
            for g, geo in enumerate(geos):
                own = np.zeros((n_geos, n_weeks))
                own[g] = column[g]
                columns.append(own.ravel())
                names.append(f"{name}@{geo}")
    return np.stack(columns, axis=1), tuple(names)
