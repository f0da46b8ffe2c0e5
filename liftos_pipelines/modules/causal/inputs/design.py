"""From panel to arrays: fixed robust scales, media per head, and the linear baseline with its prior.

With y the outcome per head in units of its robust spread within geos, the model is

    y[g, t] = centre[g] + sum_c b_c w[c, g] S(adstock(x_c)[g, t]) + X[g, t] beta + noise,   beta ~ Normal(0, 1)

where each column of X already carries its prior standard deviation. Scales are fixed numbers that are stored with
the posterior, so that an update sees the same units; medians and quartiles keep one spike from shrinking the rest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray, geometric_adstock
from liftos_pipelines.modules.causal.inputs.baseline import (
    SHOCK,
    WEEK_DAYS,
    YEAR_WEEKS,
    Term,
    Treatment,
    build_baseline,
    freeze_terms,
    robust_spread,
)
from liftos_pipelines.modules.causal.inputs.panel import (
    CONTROL,
    EXPOSURE,
    FREQUENCY,
    ORGANIC,
    REACH,
    SPEND,
    PanelError,
    names_of,
)
from liftos_pipelines.modules.causal.inputs.trend import knot_count
from liftos_pipelines.modules.causal.spec import ModelSpec

ROUGH_RETENTION, ROUGH_LAGS, RIDGE = 0.5, 8, 1e-3
__all__ = [
    "SHOCK",
    "WEEK_DAYS",
    "YEAR_WEEKS",
    "Design",
    "Scales",
    "build_design",
    "find_shocks",
    "require_enough_weeks",
]


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Frozen units. `size` (n_geos,) heads; `spread` outcome per head; `centre` (n_geos,) outcome per head;
    `media` (n_channels,) median positive exposure per head, or frequency; `reach` (n_channels,) median positive reach
    per head, 1 where there is none. In the multiplicative form `spread` and
    `centre` are of the logarithm of the outcome."""

    size: FloatArray
    spread: float
    centre: FloatArray
    media: FloatArray
    reach: FloatArray
    origin: date
    """First week of the fit; the trend counts from here."""
    knots: int
    shocks: tuple[date, ...] = ()
    """Weeks set apart as incidents: each has a term of its own (see `find_shocks`)."""
    weeks: int | None = None
    """Weeks of the fit; None: those at hand."""
    terms: tuple[Term, ...] | None = None
    """Units of controls, holidays and events; None: taken from the weeks at hand."""

    def to_json(self) -> str:
        """All of it as text, to be stored with a posterior; `from_json` gives it back to the last bit."""
        return json.dumps(asdict(self), default=lambda it: it.tolist() if hasattr(it, "tolist") else it.isoformat())

    @classmethod
    def from_json(cls, text: str) -> Scales:
        """What `to_json` wrote; fields that the text lacks take their defaults."""
        known = {field.name for field in fields(cls)}
        stored: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in known}
        terms = stored.pop("terms", None)
        shocks = tuple(date.fromisoformat(week) for week in stored.pop("shocks", ()))
        origin = date.fromisoformat(stored.pop("origin"))
        arrays = {name: np.array(value, dtype=float) for name, value in stored.items() if isinstance(value, list)}
        own = None if terms is None else tuple(Term(**t | {"geo_centre": tuple(t["geo_centre"])}) for t in terms)
        return cls(**stored | arrays, origin=origin, shocks=shocks, terms=own)


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
    """(n_channels, n_geos, n_weeks), exposure per head in units of `scales.media`; frequency where that is known."""
    multiplier: FloatArray
    """(n_channels, n_geos, n_weeks), people reached per head in units of `scales.reach`; 1 without reach."""
    frequency: tuple[bool, ...]
    """(n_channels,), whether a channel is given as reach and frequency."""
    log: bool
    """The multiplicative form: y is the logarithm of the outcome."""
    baseline: FloatArray
    """(n_geos * n_weeks, n_columns), X above; rows run over weeks within geos."""
    columns: tuple[str, ...]
    within: NDArray[np.bool_]
    """(n_columns,), True: the column sums to zero over geos in each week; False: it is the same in all geos."""
    treatments: tuple[Treatment, ...]
    scales: Scales

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_channels, n_geos, n_weeks)"""
        return (len(self.channels), len(self.geos), len(self.weeks))

    @property
    def unit(self) -> FloatArray:
        """(n_geos, 1), outcome of one unit of y; at the margin and (n_geos, n_weeks) in the multiplicative form."""
        if self.log:
            return self.outcome * self.scales.spread
        return self.scales.size[:, None] * self.scales.spread

    def to_outcome(self, y: FloatArray) -> FloatArray:
        """(..., n_geos, n_weeks) in units of y, as outcome."""
        scales = self.scales
        level = scales.centre[:, None] + y * scales.spread
        return np.asarray((np.exp(level) if self.log else level) * scales.size[:, None])

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
    by_reach = tuple(REACH + name in frame.columns for name in paid) + (False,) * len(organic)
    exposure = np.stack(
        [grid((FREQUENCY if by_reach[c] else EXPOSURE) + name) for c, name in enumerate(paid)]
        + [grid(ORGANIC + name) for name in organic]
    )
    reach = np.ones_like(exposure)
    for c, name in enumerate(paid):
        if by_reach[c]:
            reach[c] = grid(REACH + name)
    spend = np.stack([grid(SPEND + name) for name in paid] + [np.zeros(shape) for _ in organic])
    price = None if frame["revenue_per_outcome"].null_count() else grid("revenue_per_outcome")
    values = np.stack([grid(CONTROL + name) for name in controls]) if controls else np.empty((0, *shape))
    fresh = scales is None
    if scales is None:
        scales = _scales(frame, outcome, exposure, reach, by_reach, values, weeks, spec)
    elif len(scales.size) != len(geos) or len(scales.media) != len(exposure):
        raise PanelError("the panel has other geos or channels than the stored fit: refit the model")
    size = scales.size[:, None]
    log = spec.form == "multiplicative"
    per_head = outcome / size
    y = ((np.log(per_head) if log else per_head) - scales.centre[:, None]) / scales.spread
    counted = np.array(by_reach)[:, None, None]
    x = np.where(counted, exposure, exposure / size) / scales.media[:, None, None]
    people = np.where(counted, reach / size / scales.reach[:, None, None], 1.0)
    if fresh and spec.shock_z is not None:
        plain = build_baseline(geos, weeks, controls, values, scales, spec).matrix
        scales = replace(scales, shocks=tuple(weeks[t] for t in find_shocks(y, x * people, plain, spec.shock_z)))
    baseline = build_baseline(geos, weeks, controls, values, scales, spec)
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
        multiplier=people,
        frequency=by_reach,
        log=log,
        baseline=baseline.matrix,
        columns=baseline.columns,
        within=baseline.within,
        treatments=baseline.treatments,
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
    shared = sum(1 for name in design.columns if "@" not in name)
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
    reach: FloatArray,
    by_reach: Sequence[bool],
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
    if spec.form == "multiplicative":
        if np.any(outcome <= 0):
            g, t = np.argwhere(outcome <= 0)[0]
            raise PanelError(
                f"the outcome is {outcome[g, t]:g} in the week of {weeks[t]} in {sorted(frame['geo'].unique())[g]}; "
                "causal.form multiplicative needs outcomes above 0: use additive"
            )
        per_head = np.log(per_head)
    centre = np.median(per_head, axis=1)
    spread = robust_spread(per_head - centre[:, None])
    counted = np.array(by_reach)[:, None, None]
    exposed = np.where(counted, exposure, exposure / size[None, :, None])
    reached = np.where(counted, reach / size[None, :, None], 1.0)
    media = np.array([np.median(channel[channel > 0]) for channel in exposed])
    return Scales(
        size=size,
        spread=spread,
        centre=centre,
        media=media,
        reach=np.array([np.median(people[people > 0]) for people in reached]),
        origin=weeks[0],
        knots=knot_count(len(weeks), spec),
        weeks=len(weeks),
        terms=freeze_terms(sorted(frame["geo"].unique()), weeks, names_of(frame, CONTROL), controls, spec),
    )
