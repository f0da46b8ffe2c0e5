"""Weeks after the last one of the data as rows of a panel, and a posterior's draws extended to them.

Nothing about the future is assumed silently: each control and organic channel is given or said to hold, spend is given
or goes on as in the newest weeks. The trend goes on as the model says: a random walk over knots takes steps from its
prior beyond the last knot, so its interval widens; a Gaussian process and knots of their own are what they are.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.baseline import freeze_terms
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import CONTROL, EXPOSURE, FREQUENCY, ORGANIC, REACH, SPEND, names_of
from liftos_pipelines.modules.causal.plan.spec import ControlPath, Scenario
from liftos_pipelines.modules.causal.spec import ModelSpec

YEAR = 52
SEASON_DAYS = 10
"""The same weeks of the years before: those that begin within this many days of the same day of the year."""


HALF_YEAR = 182


class ScenarioError(ValueError):
    """A scenario leaves something open or contradicts the model; the message names the scenario's field."""


@dataclass(frozen=True, kw_only=True)
class Paths:
    """The panel as arrays, by geo and week: `outcome`, `price` (None when unknown), `heads` (n_geos, n_weeks);
    spend, exposure, reach and frequency by paid channel; organic and control series."""

    geos: tuple[str, ...]
    weeks: tuple[date, ...]
    frame: pl.DataFrame

    @classmethod
    def of(cls, panel: pl.DataFrame) -> Paths:
        frame = panel.sort("geo", "date")
        geos = tuple(frame["geo"].unique().sort().to_list())
        return cls(geos=geos, weeks=tuple(frame["date"].unique().sort().to_list()), frame=frame)

    def __getitem__(self, column: str) -> FloatArray:
        return self.frame[column].to_numpy().astype(float).reshape(len(self.geos), len(self.weeks))

    def __contains__(self, column: str) -> bool:
        return column in self.frame.columns


def future_weeks(paths: Paths, weeks: int) -> tuple[date, ...]:
    """First days of the weeks after the last one."""
    return tuple(paths.weeks[-1] + timedelta(weeks=i + 1) for i in range(weeks))


def future_rows(panel: pl.DataFrame, scenario: Scenario, name: str, *, planned: bool) -> pl.DataFrame:
    """Rows of the scenario's weeks with the panel's columns.

    Parameters
    ----------
    planned : with the scenario's spend; otherwise all channels keep the current plan, which repeats the newest weeks

    Raises
    ------
    ScenarioError : a channel, control or geo that is not there, a control without a future, or a wrong number of values
    """
    paths = Paths.of(panel)
    where = f"scenario {name}"
    controls, organic, paid = (names_of(panel, prefix) for prefix in (CONTROL, ORGANIC, SPEND))
    _require_futures(where, "controls", controls, scenario.controls)
    _require_futures(where, "organic", organic, scenario.organic)
    for field, named in (("spend", scenario.spend), ("scale", scenario.scale)):
        strange = sorted(set(named) - set(paid))
        if strange:
            raise ScenarioError(f"{where}: {field} names {strange[0]}{_closest(strange[0], paid)}; {_listed(paid)}")
    weeks = future_weeks(paths, scenario.weeks)
    columns: dict[str, FloatArray] = {"outcome": np.repeat(np.median(paths["outcome"], axis=1)[:, None], len(weeks), 1)}
    columns["population"] = np.repeat(paths["population"][:, -1:], len(weeks), axis=1)
    for channel in paid:
        columns |= _channel(paths, channel, scenario, planned)
    for prefix, names, said, field in (
        (ORGANIC, organic, scenario.organic, "organic"),
        (CONTROL, controls, scenario.controls, "controls"),
    ):
        for one in names:
            columns[prefix + one] = _path(paths, prefix + one, said[one], weeks, f"{where}: {field}.{one}")
    rows = pl.DataFrame(
        {
            "date": list(weeks) * len(paths.geos),
            "geo": np.repeat(paths.geos, len(weeks)).tolist(),
            "revenue_per_outcome": _price(paths, scenario, len(weeks)),
        }
        | {column: values.ravel() for column, values in columns.items()},
        schema_overrides={"revenue_per_outcome": pl.Float64},
    )
    return rows.select(pl.col(column).cast(panel.schema[column]) for column in panel.columns)


def _require_futures(where: str, field: str, names: Sequence[str], said: dict[str, ControlPath]) -> None:
    missing = [name for name in names if name not in said]
    if missing:
        raise ScenarioError(
            f"{where}: {field} gives no future of {', '.join(missing)}: give values, or say hold: last or "
            "hold: mean_of_season; nothing is taken to be zero"
        )
    strange = sorted(set(said) - set(names))
    if strange:
        raise ScenarioError(f"{where}: {field} names {strange[0]}{_closest(strange[0], names)}; {_listed(names)}")


def _closest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f' (closest: "{close[0]}")' if close else ""


def _listed(names: Sequence[str]) -> str:
    return f"the model has {', '.join(names) or 'none'}"


def _price(paths: Paths, scenario: Scenario, weeks: int) -> list[float | None]:
    """Revenue per outcome of each geo and week: given, or what the last year's outcome brought in the geo."""
    size = weeks * len(paths.geos)
    if paths.frame["revenue_per_outcome"].null_count():
        return [None] * size
    if scenario.price is not None:
        return [scenario.price] * size
    outcome, price = paths["outcome"][:, -YEAR:], paths["revenue_per_outcome"][:, -YEAR:]
    total = outcome.sum(axis=1)
    mean = np.where(total > 0, (outcome * price).sum(axis=1) / np.maximum(total, 1e-300), price.mean(axis=1))
    return [float(value) for value in np.repeat(mean, weeks)]


def _path(paths: Paths, column: str, said: ControlPath, weeks: Sequence[date], field: str) -> FloatArray:
    """(n_geos, n_weeks), a series' future."""
    shape = (len(paths.geos), len(weeks))
    known = paths[column]
    if said.value is not None:
        return np.full(shape, said.value)
    if said.values is not None:
        if len(said.values) != len(weeks):
            raise ScenarioError(f"{field} has {len(said.values)} values for {len(weeks)} weeks")
        return np.tile(np.array(said.values), (shape[0], 1))
    if said.geos is not None:
        odd = sorted(set(said.geos) ^ set(paths.geos))
        if odd:
            raise ScenarioError(f"{field}.geos must name each geo of the panel once: {', '.join(odd)} differs")
        short = [geo for geo, values in said.geos.items() if len(values) != len(weeks)]
        if short:
            raise ScenarioError(f"{field}.geos.{short[0]} has {len(said.geos[short[0]])} values for {len(weeks)} weeks")
        return np.array([said.geos[geo] for geo in paths.geos], dtype=float)
    if said.hold == "last":
        return np.repeat(known[:, -1:], len(weeks), axis=1)
    day = np.array([week.timetuple().tm_yday for week in paths.weeks])
    out = np.empty(shape)
    for i, week in enumerate(weeks):
        apart = np.abs(day - week.timetuple().tm_yday)
        before = np.array([(week - known_week).days > HALF_YEAR for known_week in paths.weeks])
        near = (np.minimum(apart, 365 - apart) <= SEASON_DAYS) & before
        if not near.any():
            raise ScenarioError(
                f"{field} asks for the mean of the season, but no week of an earlier year is like {week}"
            )
        out[:, i] = known[:, near].mean(axis=1)
    return out


def current_places(known: int, weeks: int) -> list[int]:
    """Positions of the weeks that the current plan repeats: the newest `weeks`, again from the first when fewer."""
    newest = min(weeks, known)
    return [known - newest + i % newest for i in range(weeks)]


def _channel(paths: Paths, channel: str, scenario: Scenario, planned: bool) -> dict[str, FloatArray]:
    """Spend and exposure (reach and frequency) of a channel's future, each (n_geos, n_weeks)."""
    again = current_places(len(paths.weeks), scenario.weeks)
    measures = [prefix + channel for prefix in (SPEND, EXPOSURE, REACH, FREQUENCY) if prefix + channel in paths]
    current = {column: paths[column][:, again] for column in measures}
    if not planned or (channel not in scenario.spend and channel not in scenario.scale):
        return current
    if channel in scenario.scale:
        # More people or more exposure, at the same frequency.
        by = scenario.scale[channel]
        return {column: v if column.startswith(FREQUENCY) else v * by for column, v in current.items()}
    said = scenario.spend[channel]
    total = np.broadcast_to(np.asarray(said, dtype=float), (scenario.weeks,))
    spend = paths[SPEND + channel]
    newest = spend[:, -YEAR:] if spend[:, -YEAR:].sum() > 0 else spend
    by_geo = newest.sum(axis=1) / newest.sum()
    out = {SPEND + channel: by_geo[:, None] * total}
    bought = REACH if REACH + channel in paths else EXPOSURE
    for prefix in (EXPOSURE, REACH):
        if prefix + channel in paths:
            out[prefix + channel] = out[SPEND + channel] * _per_currency(paths, prefix + channel, spend)[:, None]
    if bought == REACH:
        people, often = paths[REACH + channel], paths[FREQUENCY + channel]
        mean = (people * often).sum(axis=1) / np.maximum(people.sum(axis=1), 1e-300)
        out[FREQUENCY + channel] = np.where(out[REACH + channel] > 0, mean[:, None], 0.0)
    return out


def _per_currency(paths: Paths, column: str, spend: FloatArray) -> FloatArray:
    """(n_geos,), exposure that one currency bought in the last year that it was spent in."""
    exposure = paths[column]
    for window in (slice(-YEAR, None), slice(None)):
        bought = np.where(spend > 0, exposure, 0.0)[:, window]
        paid = spend[:, window].sum(axis=1)
        if paid.sum() > 0:
            overall = bought.sum() / paid.sum()
            return np.where(paid > 0, bought.sum(axis=1) / np.maximum(paid, 1e-300), overall)
    raise ScenarioError(f"{column} was never paid for: what a currency buys is unknown; use scale")


def extend(
    fitted: Fitted, panel: pl.DataFrame, rows: pl.DataFrame, spec: ModelSpec, *, seed: int
) -> tuple[Design, Draws]:
    """The design of the panel's weeks and the rows after them, in the fit's units, and draws whose baseline reaches it.

    Parameters
    ----------
    panel : all weeks from the fit's first on; later ones than the fit's are known media and controls
    spec : the one fitted with
    """
    first = fitted.design.weeks[0]
    known = panel.filter(pl.col("date") >= first)
    scales = fitted.design.scales
    if scales.terms is None or scales.weeks is None:
        seen = Paths.of(known.filter(pl.col("date") <= fitted.design.weeks[-1]))
        controls = list(fitted.design.controls)
        values = (
            np.stack([seen[CONTROL + name] for name in controls])
            if controls
            else np.empty((0, len(seen.geos), len(seen.weeks)))
        )
        terms = freeze_terms(seen.geos, seen.weeks, controls, values, spec)
        scales = replace(scales, terms=terms, weeks=len(seen.weeks))
    design = build_design(pl.concat([known, rows.select(known.columns)]), spec, scales=scales)
    return design, replace(fitted.draws, beta=_extended(fitted, design, np.random.default_rng([seed, 7])))


def _extended(fitted: Fitted, design: Design, rng: np.random.Generator) -> FloatArray:
    """Coefficients by name; those of terms that begin after the fit come from their prior, which is standard normal."""
    beta = fitted.draws.beta
    if beta is None:
        raise ValueError("the draws have no baseline: call with_baseline first")
    places = {name: i for i, name in enumerate(fitted.design.columns)}
    out = rng.standard_normal((len(beta), len(design.columns)))
    for i, name in enumerate(design.columns):
        if name in places:
            out[:, i] = beta[:, places[name]]
    return out
