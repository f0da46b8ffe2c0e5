"""The linear-Gaussian baseline: level, trend, season, calendar and controls, each column times its prior sd.

With several geos each column is of one of two kinds, so that the likelihood can take the weeks' means over geos and
the deviations from them apart:

    shared   the same number in all geos in each week: what moves all geos together
    within   sums to zero over geos in each week: how a geo differs from the mean of all

A control that differs between geos is therefore two columns, its weekly mean over geos and the deviation from it, each
with a coefficient of its own: what moves a whole country need not act as what sets one geo apart.
Source: Mundlak (1978), On the pooling of time series and cross section data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.calendar import WEEK_DAYS, event_share, holiday_days, repeated_holidays
from liftos_pipelines.modules.causal.inputs.panel import PanelError
from liftos_pipelines.modules.causal.inputs.trend import trend_columns
from liftos_pipelines.modules.causal.spec import ModelSpec

YEAR_WEEKS = 365.25 / 7
SHOCK, WITHIN = "shock_", "_within"
FLAT = 1e-9


@dataclass(frozen=True, kw_only=True)
class Term:
    """Frozen units of one control or holiday or event. A spread of 0 says that the column is not there.

    `centre`, `spread` of the weekly mean over geos; `geo_centre` (n_geos,) each geo's mean over the weeks of the fit;
    `within_spread` of the deviations from the weekly mean, `own_spread` of the deviations from the geo's mean, both
    after `geo_centre`; `reference` the value that a treatment's contribution is counted from.
    """

    name: str
    kind: Literal["control", "holiday", "event"]
    centre: float
    spread: float
    geo_centre: tuple[float, ...]
    within_spread: float
    own_spread: float
    reference: float | None = None


class Units(Protocol):
    """What the baseline needs of a fit's frozen scales (`design.Scales`)."""

    @property
    def spread(self) -> float:
        """Outcome per head of one unit of y."""

    @property
    def centre(self) -> FloatArray:
        """(n_geos,), outcome per head at y = 0."""

    @property
    def origin(self) -> date:
        """First week of the fit; the trend counts from here."""

    @property
    def weeks(self) -> int | None:
        """How many weeks the fit had; None: those at hand."""

    @property
    def knots(self) -> int: ...

    @property
    def shocks(self) -> tuple[date, ...]: ...

    @property
    def terms(self) -> tuple[Term, ...] | None:
        """Controls, holidays and events of the fit; None: taken from the weeks at hand."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """A control whose own contribution is asked for, counted from a reference value.

    contribution, in units of y = change @ beta[columns]; `change` (n_geos * n_weeks, len(columns)) is what the columns
    are above what they would be at `reference`.
    """

    name: str
    columns: tuple[int, ...]
    reference: float
    change: FloatArray


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """`matrix` (n_geos * n_weeks, n_columns), rows over weeks within geos; `within` (n_columns,) True for columns that
    sum to zero over geos in each week, False for those that are the same in all geos."""

    matrix: FloatArray
    columns: tuple[str, ...]
    within: NDArray[np.bool_]
    treatments: tuple[Treatment, ...] = ()


def freeze_terms(
    geos: Sequence[str], weeks: Sequence[date], controls: Sequence[str], values: FloatArray, spec: ModelSpec
) -> tuple[Term, ...]:
    """Which terms the baseline has beside level, trend and season, and their units, from the weeks of a fit.

    Parameters
    ----------
    values : (n_controls, n_geos, n_weeks)

    Raises
    ------
    PanelError : an unknown country or geo in `holidays`, `holiday_geos` or `events`
    """
    terms = [
        _term(name, "control", value, reference=_reference(value, spec) if spec.role(name) == "treatment" else None)
        for name, value in zip(controls, values, strict=True)
    ]
    for name in _calendar_names(weeks, spec):
        value = _calendar_values(name, geos, weeks, spec)
        # Days of one holiday and shares of an event's weeks keep their unit: the prior is about a day, or a full week.
        standard = name.startswith("holiday_") and not spec.holidays_each
        terms.append(_term(name, "event" if name.startswith("event_") else "holiday", value, standard=standard))
    return tuple(terms)


def build_baseline(
    geos: Sequence[str],
    weeks: Sequence[date],
    controls: Sequence[str],
    values: FloatArray,
    scales: Units,
    spec: ModelSpec,
) -> Baseline:
    """Columns of the baseline for any weeks from the origin on, in the units of `scales`.

    Parameters
    ----------
    values : (n_controls, n_geos, n_weeks), as brought

    Raises
    ------
    PanelError : a control of the fit is missing, or the weeks lie beyond what a Gaussian-process trend can reach
    """
    terms = freeze_terms(geos, weeks, controls, values, spec) if scales.terms is None else scales.terms
    builder = _Builder(n_geos=len(geos), n_weeks=len(weeks), geos=tuple(geos))
    elapsed = np.array([(week - scales.origin).days / WEEK_DAYS for week in weeks])
    # The level that media are added to may be anywhere between nothing and twice the outcome's level; of a logarithm
    # there is no nothing.
    least = np.full(len(geos), spec.baseline_sd)
    own_level = least if spec.form == "multiplicative" else np.maximum(scales.centre / scales.spread, least)
    level_sd = own_level if spec.level_sd is None else np.full(len(geos), spec.level_sd)
    if not spec.independent_knots:
        builder.shared("level", np.full(len(weeks), level_sd.mean()))
    builder.by_geo("level", np.tile(level_sd[:, None], len(weeks)))
    for name, column in trend_columns(elapsed, scales.weeks or len(weeks), scales.knots, spec):
        builder.shared(name, column)
    # Calendar days, so that an update continues the same season.
    day = np.array([week.timetuple().tm_yday for week in weeks]) / 365.25
    for order in range(1, spec.seasonality + 1):
        for name, wave in (("sin", np.sin), ("cos", np.cos)):
            column = wave(2 * np.pi * order * day)
            builder.shared(f"{name}_{order}", spec.baseline_sd * column)
            if order == 1:
                builder.by_geo(f"{name}_{order}", np.tile(spec.geo_sd * column, (len(geos), 1)))
    if spec.trend != "none":
        builder.by_geo("slope", np.tile(spec.geo_sd * elapsed / YEAR_WEEKS, (len(geos), 1)))
    brought = dict(zip(controls, values, strict=True))
    treatments = []
    for term in terms:
        if term.kind == "control" and term.name not in brought:
            raise PanelError(f"control {term.name} of the fit is not in the panel: bring it back or refit the model")
        value = brought[term.name] if term.kind == "control" else _calendar_values(term.name, geos, weeks, spec)
        first = len(builder.names)
        reference = builder.add_term(term, value, spec)
        if term.reference is not None:
            columns = tuple(range(first, len(builder.names)))
            change = np.stack(
                [builder.columns[i].ravel() - at.ravel() for i, at in zip(columns, reference, strict=True)]
            )
            treatments.append(Treatment(name=term.name, columns=columns, reference=term.reference, change=change.T))
    for shock in scales.shocks:
        hit = np.array([float(week == shock) for week in weeks])
        builder.shared(f"{SHOCK}{shock.isoformat()}", spec.baseline_sd * hit)
    return builder.finish(treatments)


@dataclass
class _Builder:
    n_geos: int
    n_weeks: int
    geos: tuple[str, ...]

    def __post_init__(self) -> None:
        self.columns: list[FloatArray] = []
        self.names: list[str] = []
        self.within: list[bool] = []

    def _add(self, name: str, column: FloatArray, within: bool) -> None:
        self.names.append(name)
        self.columns.append(column)
        self.within.append(within)

    def shared(self, name: str, column: FloatArray) -> None:
        """`column` (n_weeks,), the same in all geos."""
        self._add(name, np.tile(column, (self.n_geos, 1)), False)

    def deviation(self, name: str, column: FloatArray) -> None:
        """`column` (n_geos, n_weeks), less its mean over geos in each week."""
        self._add(name, column - column.mean(axis=0), True)

    def by_geo(self, name: str, columns: FloatArray) -> None:
        """Each geo's own deviation, `columns` (n_geos, n_weeks): priors of differences between geos are as if each geo
        had an independent coefficient, what they have in common is left to the shared term."""
        if self.n_geos == 1:
            return
        for g, geo in enumerate(self.geos):
            own = np.zeros((self.n_geos, self.n_weeks))
            own[g] = columns[g]
            self.deviation(f"{name}@{geo}", own)

    def add_term(self, term: Term, value: FloatArray, spec: ModelSpec) -> list[FloatArray]:
        """Add a term's columns; what each of them is at the term's reference value (empty without one)."""
        sd = spec.noise_sd if spec.role(term.name) == "noise" and term.kind == "control" else spec.baseline_sd
        name = f"control_{term.name}" if term.kind == "control" else term.name
        mine = np.array(term.geo_centre)[:, None]
        first = len(self.columns)

        def lay_out(at: FloatArray) -> _Builder:
            part = _Builder(n_geos=self.n_geos, n_weeks=self.n_weeks, geos=self.geos)
            if term.spread > 0:
                part.shared(name, sd * (at.mean(axis=0) - term.centre) / term.spread)
            if term.within_spread > 0:
                part.deviation(name + WITHIN, sd * (at - mine) / term.within_spread)
            if term.kind == "control" and term.own_spread > 0:
                part.by_geo(name, spec.geo_sd * (at - mine) / term.own_spread)
            return part

        part = lay_out(value)
        self.columns += part.columns
        self.names += part.names
        self.within += part.within
        assert len(self.columns) - first == len(part.columns)
        return [] if term.reference is None else lay_out(np.full_like(value, term.reference)).columns

    def finish(self, treatments: Sequence[Treatment]) -> Baseline:
        matrix = np.stack([column.ravel() for column in self.columns], axis=1)
        return Baseline(
            matrix=matrix, columns=tuple(self.names), within=np.array(self.within), treatments=tuple(treatments)
        )


def robust_spread(centred: FloatArray) -> float:
    """1.4826 x median absolute deviation; the standard deviation where half the values are equal (0/1 events)."""
    robust = 1.4826 * float(np.median(np.abs(centred)))
    plain = float(np.std(centred))
    return robust if robust > 0.1 * plain else plain


def _term(
    name: str,
    kind: Literal["control", "holiday", "event"],
    value: FloatArray,
    *,
    reference: float | None = None,
    standard: bool = True,
) -> Term:
    mean = value.mean(axis=0)
    centre = float(np.median(mean)) if standard else 0.0
    geo_centre = value.mean(axis=1) if standard else np.zeros(len(value))
    own = value - geo_centre[:, None]
    # Geos' lasting differences belong to their levels.
    within = own - own.mean(axis=0)

    def spread(centred: FloatArray) -> float:
        flat = np.ptp(centred) <= FLAT * max(float(np.max(np.abs(value))), 1e-300)
        return 0.0 if flat else robust_spread(centred) if standard else 1.0

    shared = robust_spread(mean - centre) if standard else 1.0
    return Term(
        name=name,
        kind=kind,
        centre=centre,
        # An event outside the weeks of the fit keeps its term: it may lie in the weeks of an update.
        spread=0.0 if standard and spread(mean) == 0 else shared,
        geo_centre=tuple(float(c) for c in geo_centre),
        within_spread=spread(within) if len(value) > 1 else 0.0,
        own_spread=spread(own),
        reference=reference,
    )


def _reference(value: FloatArray, spec: ModelSpec) -> float:
    if spec.treatment_reference == "zero":
        return 0.0
    return float(np.min(value) if spec.treatment_reference == "min" else np.median(value))


def _calendar_names(weeks: Sequence[date], spec: ModelSpec) -> list[str]:
    names = []
    for code in dict.fromkeys(spec.holidays):
        each = repeated_holidays(code, weeks) if spec.holidays_each else None
        names += [f"holiday_{code}"] if each is None else [f"holiday_{code}_{name}" for name in each]
    return names + [f"event_{name}" for name in dict.fromkeys(event.name for event in spec.events)]


def _calendar_values(name: str, geos: Sequence[str], weeks: Sequence[date], spec: ModelSpec) -> FloatArray:
    """(n_geos, n_weeks) days of a holiday term or shares of an event."""
    kind, _, rest = name.partition("_")
    if kind == "holiday":
        code, _, day = rest.partition("_")
        where = spec.holiday_geos.get(code, ())
        _require_known("holiday_geos", where, geos)
        at = np.array([float(not where or geo in where) for geo in geos])
        return at[:, None] * holiday_days(code, weeks, day or None)[None, :]
    value = np.zeros((len(geos), len(weeks)))
    for event in spec.events:
        _require_known(f"events ({event.name})", event.geos, geos)
    for g, geo in enumerate(geos):
        here = [e for e in spec.events if e.name == rest and (not e.geos or geo in e.geos)]
        value[g] = event_share(here, weeks)
    return value


def _require_known(field: str, named: Sequence[str], geos: Sequence[str]) -> None:
    strange = sorted(set(named) - set(geos))
    if strange:
        raise PanelError(f"causal.{field} names geo {strange[0]}, which the panel does not have: {', '.join(geos)}")
