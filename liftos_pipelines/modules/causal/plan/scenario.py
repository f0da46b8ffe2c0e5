"""What would be: outcome of weeks to come under a scenario, and what it gains over the current plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted, interval
from liftos_pipelines.modules.causal.engine.draws import Draws, Media
from liftos_pipelines.modules.causal.engine.structure import Structure
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.plan.future import ScenarioError, extend, future_rows
from liftos_pipelines.modules.causal.plan.spec import Scenario
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.tables import ALL, table

__all__ = ["Outlook", "ScenarioError", "outlook", "outlooks"]
MOST_DRAWS = 1000
EDGE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """`channels`: rows of the table `causal/scenarios`; `weeks`: rows of `causal/scenario_weeks`; `notes` say what was
    taken to hold."""

    channels: pl.DataFrame
    weeks: pl.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Future:
    """Media of one plan over its weeks and as many after as carry over, in which the current plan goes on."""

    media: Media
    first: int
    weeks: int

    def channel(self, draws: Draws, c: int, *, silent: bool = False) -> FloatArray:
        """(n_draws, n_geos, n_weeks and after), response in units of y; `silent`: without exposure in its weeks."""
        scale = np.ones(self.media.design.shape[2])
        if silent:
            scale[self.first : self.first + self.weeks] = 0.0
        return self.media.contribution(draws, c, scale)[:, :, self.first :]


def outlook(
    fitted: Fitted, panel: pl.DataFrame, spec: ModelSpec, scenario: Scenario, name: str, *, seed: int
) -> Outlook:
    """Expected outcome of a scenario and what it gains over the current plan, which repeats the newest weeks' spend.

    Both plans see the same draws, controls and trend, so what they differ by is media alone. Gains count what carries
    over into the weeks after, in which the current plan goes on in both. Incremental is against no spend of the channel
    in the scenario's weeks. The outcome's interval has the noise of weeks in it, gains have none.

    Parameters
    ----------
    panel : the weeks of the fit, and newer ones that are known
    spec : the one the posterior was fitted with

    Raises
    ------
    ScenarioError : see `future.future_rows`
    PanelError : the weeks lie beyond what a Gaussian-process trend can reach
    """
    panel = panel.filter(pl.col("date") >= fitted.design.weeks[0])
    few = replace(fitted, draws=fitted.draws.thin(MOST_DRAWS))
    (design, draws), (current, _) = (
        extend(few, panel, future_rows(panel, scenario, name, planned=planned), spec, seed=seed)
        for planned in (True, False)
    )
    first = len(design.weeks) - scenario.weeks
    mine, theirs = (_with_after(d, current, few.media.structure, first) for d in (design, current))
    channels = range(len(design.channels))
    parts, others = ([plan.channel(draws, c) for c in channels] for plan in (mine, theirs))
    total, other = _sum(parts), _sum(others)
    level = _Level(design, draws, first)
    expected = level.expected(total)
    rows, without_paid = [], total
    for c in range(design.paid):
        lost = parts[c] - mine.channel(draws, c, silent=True)
        without_paid = without_paid - lost
        incremental = level.worth(expected - level.expected(total - lost))
        uplift = level.worth(expected - level.expected(total - parts[c] + others[c]))
        rows.append(_row(design, current, c, first) | _gains(incremental, uplift))
    incremental = level.worth(expected - level.expected(without_paid))
    as_now = level.expected(other)
    noisy = level.noisy(total, np.random.default_rng([seed, 11]))
    _, low, high = interval(noisy.sum(axis=(1, 2)))
    whole = _whole(design, current, first) | _gains(incremental, level.worth(expected - as_now))
    whole |= {
        "outcome": float(expected[:, :, : scenario.weeks].sum(axis=(1, 2)).mean()),
        "outcome_low": low,
        "outcome_high": high,
        "outcome_current": float(as_now[:, :, : scenario.weeks].sum(axis=(1, 2)).mean()),
    }
    schema = table("causal/scenarios").columns | EXTRA
    records = [{"scenario": name} | row for row in (*rows, whole)]
    frame = pl.DataFrame([{key: row.get(key) for key in schema} for row in records], schema=schema)
    return Outlook(
        channels=frame.with_columns(
            unit=pl.lit("revenue" if design.money else "outcome"),
            weeks=pl.lit(scenario.weeks),
            first_week=pl.lit(design.weeks[first]),
        ),
        weeks=_week_rows(design, name, first, expected, as_now, noisy),
        notes=_notes(scenario, design),
    )


def _sum(parts: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.add.reduce(parts))


def outlooks(
    fitted: Fitted, panel: pl.DataFrame, spec: ModelSpec, scenarios: Mapping[str, Scenario], *, seed: int
) -> Outlook:
    """Several scenarios in one; empty tables without any."""
    found = [outlook(fitted, panel, spec, one, name, seed=seed) for name, one in scenarios.items()]
    if not found:
        return Outlook(
            channels=table("causal/scenarios").empty(), weeks=table("causal/scenario_weeks").empty(), notes=()
        )
    return Outlook(
        channels=pl.concat([one.channels for one in found]),
        weeks=pl.concat([one.weeks for one in found]),
        notes=tuple(f"{name}: {note}" for name, one in zip(scenarios, found, strict=True) for note in one.notes),
    )


EXTRA: dict[str, pl.DataType] = {
    "beyond_observed": pl.Boolean(),
    "outcome": pl.Float64(),
    "outcome_low": pl.Float64(),
    "outcome_high": pl.Float64(),
    "outcome_current": pl.Float64(),
}


def _with_after(design: Design, current: Design, structure: Structure, first: int) -> _Future:
    """The media of a design with the current plan's weeks once more behind, for as long as exposure carries over."""
    weeks = len(design.weeks) - first
    again = [first + i % weeks for i in range(structure.max_lag)]
    longer = replace(
        design,
        weeks=(*design.weeks, *(design.weeks[-1] + timedelta(weeks=i + 1) for i in range(len(again)))),
        x=np.concatenate([design.x, current.x[:, :, again]], axis=2),
        multiplier=np.concatenate([design.multiplier, current.multiplier[:, :, again]], axis=2),
    )
    return _Future(media=Media(longer, structure), first=first, weeks=weeks)


class _Level:
    """Outcome from responses; the weeks after have the baseline and the worth of the scenario's last week."""

    def __init__(self, design: Design, draws: Draws, first: int) -> None:
        self.design, self.draws = design, draws
        assert draws.beta is not None
        shape = (len(draws), len(design.geos), len(design.weeks))
        self.baseline = (draws.beta @ design.baseline.T).reshape(shape)[:, :, first:]
        self.price = np.ones((len(design.geos), 1)) if design.price is None else design.price[:, first:]
        # The mean of a LogNormal lies above its median.
        noise = design.scales.spread**2 * (draws.sigma**2 + draws.week_sigma**2) / 2 if design.log else 0.0
        self.above = np.exp(noise) if design.log else np.ones(len(draws))

    def expected(self, response: FloatArray) -> FloatArray:
        """(n_draws, n_geos, n_weeks and after), from responses of all media in units of y."""
        longer = _held(self.baseline, response.shape[2])
        return np.asarray(self.design.to_outcome(longer + response) * self.above[:, None, None])

    def noisy(self, response: FloatArray, rng: np.random.Generator) -> FloatArray:
        """(n_draws, n_geos, n_weeks), with the noise of geos and of weeks."""
        weeks = self.baseline.shape[2]
        y = self.baseline + response[:, :, :weeks]
        y = y + self.draws.sigma[:, None, None] * rng.standard_normal(y.shape)
        y = y + self.draws.week_sigma[:, None, None] * rng.standard_normal((len(y), 1, weeks))
        return self.design.to_outcome(y)

    def worth(self, gained: FloatArray) -> FloatArray:
        """(n_draws,), revenue where known, else outcome."""
        return np.asarray((gained * _held(self.price, gained.shape[2])).sum(axis=(1, 2)))


def _held(values: FloatArray, weeks: int) -> FloatArray:
    """The last value held along the last axis up to `weeks`."""
    more = weeks - values.shape[-1]
    return np.concatenate([values, np.repeat(values[..., -1:], more, axis=-1)], axis=-1) if more > 0 else values


def _gains(incremental: FloatArray, uplift: FloatArray) -> dict[str, object]:
    out: dict[str, object] = {}
    for name, values in (("incremental", incremental), ("uplift", uplift)):
        mean, low, high = interval(values)
        out |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    # Plans that are the same are not better: the difference of equals is rounding.
    return out | {"probability_better": float((uplift > EDGE * np.abs(incremental).mean()).mean())}


def _row(design: Design, current: Design, c: int, first: int) -> dict[str, object]:
    by_week = design.spend[c].sum(axis=0)
    return {
        "channel": design.channels[c],
        "spend": float(by_week[first:].sum()),
        "spend_current": float(current.spend[c, :, first:].sum()),
        "beyond_observed": bool(by_week[first:].max() > by_week[:first].max() * (1 + EDGE)),
    }


def _whole(design: Design, current: Design, first: int) -> dict[str, object]:
    each = [_row(design, current, c, first) for c in range(design.paid)]
    return {
        "channel": ALL,
        "spend": float(design.spend[:, :, first:].sum()),
        "spend_current": float(current.spend[:, :, first:].sum()),
        "beyond_observed": any(row["beyond_observed"] for row in each),
    }


def _week_rows(
    design: Design, name: str, first: int, mine: FloatArray, theirs: FloatArray, noisy: FloatArray
) -> pl.DataFrame:
    weeks = design.weeks[first:]
    inside = slice(0, len(weeks))
    frames = []
    for g in (None, *range(len(design.geos))):
        chosen = slice(None) if g is None else slice(g, g + 1)
        low, high = np.quantile(noisy[:, chosen].sum(axis=1), [0.05, 0.95], axis=0)
        frames.append(
            pl.DataFrame(
                {
                    "scenario": name,
                    "date": weeks,
                    "geo": ALL if g is None else design.geos[g],
                    "outcome": mine[:, chosen, inside].sum(axis=1).mean(axis=0),
                    "outcome_low": low,
                    "outcome_high": high,
                    "outcome_current": theirs[:, chosen, inside].sum(axis=1).mean(axis=0),
                }
            )
        )
    return pl.concat(frames).sort("date", "geo")


def _notes(scenario: Scenario, design: Design) -> tuple[str, ...]:
    words = {"last": "the last value seen", "mean_of_season": "the mean of the same weeks of the years before"}
    notes = [
        f"{name} is held at {words[path.hold]}; the interval has no doubt about it"
        for name, path in (scenario.controls | scenario.organic).items()
        if path.hold is not None
    ]
    kept = [c for c in design.channels[: design.paid] if c not in scenario.spend and c not in scenario.scale]
    if kept:
        notes.append(f"{', '.join(kept)} keep the current plan: the newest weeks' spend again")
    if design.money and scenario.price is None:
        notes.append("an outcome is worth what it was worth in the last year")
    return tuple(notes)
