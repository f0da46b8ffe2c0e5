"""Bounds of a budget plan as linear constraints in currency, checked for contradictions before anything is solved."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.plan.program import Program
from liftos_pipelines.modules.causal.plan.spec import Bounds, Flexible, PlanSpec, Risk

SLACK = 1e-9
"""Relative: bounds that miss each other by less are taken as equal."""


class PlanError(ValueError):
    """No plan can keep what was asked; the message names the fields, or what the optimiser reported."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Variables are the spend of each channel (and step), currency; `place` (n, 2) their channel and step.

    `low`, `high` (n,); rows (n_rows, n) with `row_low`, `row_high` and `row_names` bind sums. `unit` (n,) currency of
    the pattern at scale 1; `observed` (n,) the spend at which the mean week is the highest seen.
    """

    channels: tuple[str, ...]
    steps: int
    place: NDArray[np.int64]
    unit: FloatArray
    low: FloatArray
    high: FloatArray
    observed: FloatArray
    rows: FloatArray
    row_low: FloatArray
    row_high: FloatArray
    row_names: tuple[str, ...]
    current: float
    """Total as it was."""
    total: float | None
    """What the plan spends; None where it is found."""
    flexible: Flexible | None
    risk: Risk

    def scales(self, spend: FloatArray) -> FloatArray:
        """(n_channels, n_steps) of the program; 0 where there is no variable."""
        out = np.zeros((len(self.channels), self.steps))
        out[self.place[:, 0], self.place[:, 1]] = spend / self.unit
        return out

    def gather(self, by_step: FloatArray) -> FloatArray:
        """(n,), the variables' entries of (n_channels, n_steps)."""
        return np.asarray(by_step[self.place[:, 0], self.place[:, 1]])

    def by_channel(self, values: FloatArray) -> FloatArray:
        """(n_channels,), sums over a channel's variables."""
        return np.asarray(np.bincount(self.place[:, 0], weights=values, minlength=len(self.channels)), dtype=float)

    def violation(self, spend: FloatArray) -> float:
        """Largest breach of a bound or row, as a share of the current total."""
        sums = self.rows @ spend
        breaches = [self.low - spend, spend - self.high, self.row_low - sums, sums - self.row_high]
        return max(0.0, *(float(b.max()) for b in breaches if b.size)) / self.current


def build_problem(design: Design, program: Program, plan: PlanSpec, *, band: float, band_name: str) -> Problem:
    """The bounds of `plan` for a program.

    Parameters
    ----------
    band : largest relative change of channels without bounds of their own; `band_name`: the field that says so

    Raises
    ------
    PlanError : a name that is not there, or bounds that contradict each other, naming both fields
    """
    names = tuple(design.channels[c] for c in program.channels)
    _require_known(design, names, plan)
    spend = program.spend.sum(axis=1)
    per_week = design.spend[list(program.channels)].sum(axis=1).max(axis=1)
    widths = np.array([b - a for a, b in program.step_weeks], dtype=float)
    seen = per_week[:, None] * widths
    cap = np.full_like(seen, np.inf) if plan.allow_beyond_observed else seen
    place = np.argwhere(program.spend > 0)
    unit = program.spend[place[:, 0], place[:, 1]]
    capped = cap[place[:, 0], place[:, 1]]
    low, high = np.zeros(len(place)), capped.copy()
    if plan.steps is not None:
        low, high = plan.steps.low * unit, np.minimum(plan.steps.high * unit, capped)
        short = np.flatnonzero(low > high * (1 + SLACK))
        if short.size:
            name = names[place[short[0], 0]]
            raise PlanError(
                f"causal.plan.steps.low asks {low[short[0]]:,.0f} of {name} in a step, above the {high[short[0]]:,.0f} "
                "of its highest observed week: lower it or set causal.plan.allow_beyond_observed"
            )
    rows, row_low, row_high, labels = [], [], [], []
    for c, name in enumerate(names):
        mine = place[:, 0] == c
        own = plan.channels.get(name)
        field = f"causal.plan.channels.{name}" if own else band_name
        bounds = own or Bounds(low=max(0.0, 1 - band), high=1 + band)
        least, most = _in_currency(bounds, float(spend[c]), field)
        most_seen = float(cap[c][place[mine, 1]].sum())
        if least > most_seen * (1 + SLACK):
            raise PlanError(
                f"{field} asks at least {least:,.0f} of {name}, above the {most_seen:,.0f} of its highest observed "
                "week in every week: lower it or set causal.plan.allow_beyond_observed"
            )
        if plan.steps is None:
            i = int(np.flatnonzero(mine)[0])
            low[i], high[i] = least, min(most, float(high[i]))
        else:
            rows.append(mine.astype(float))
            row_low.append(least)
            row_high.append(most)
            labels.append(field if own else f"{band_name} of {name}")
    for title, group in plan.groups.items():
        member = [names.index(name) for name in group.channels]
        field = f"causal.plan.groups.{title}"
        least, most = _in_currency(group, float(spend[member].sum()), field)
        rows.append(np.isin(place[:, 0], member).astype(float))
        row_low.append(least)
        row_high.append(most)
        labels.append(field)
    current = float(program.spend_now.sum())
    total: float | None = plan.budget if plan.budget is not None else current
    flexible = plan.flexible
    rows.append(np.ones(len(place)))
    if flexible is None:
        assert total is not None
        row_low.append(total)
        row_high.append(total)
        labels.append("causal.plan.budget" if plan.budget is not None else "the current total")
    else:
        total = None
        row_low.append(flexible.least or 0.0)
        row_high.append(np.inf if flexible.most is None else flexible.most)
        labels.append("causal.plan.flexible")
    problem = Problem(
        channels=names,
        steps=program.spend.shape[1],
        place=place,
        unit=unit,
        low=low,
        high=high,
        observed=seen[place[:, 0], place[:, 1]],
        rows=np.array(rows),
        row_low=np.array(row_low),
        row_high=np.array(row_high),
        row_names=tuple(labels),
        current=current,
        total=total,
        flexible=flexible,
        risk=plan.risk,
    )
    return _tightened(problem)


def _in_currency(bounds: Bounds, spend: float, field: str) -> tuple[float, float]:
    """Least and most, both kinds of bounds together."""
    least = max((bounds.low or 0.0) * spend, bounds.least or 0.0)
    tops = {"high": None if bounds.high is None else bounds.high * spend, "most": bounds.most}
    most = min((value for value in tops.values() if value is not None), default=np.inf)
    if least > most * (1 + SLACK):
        under = "low" if (bounds.low or 0.0) * spend >= (bounds.least or 0.0) else "least"
        over = next(name for name, value in tops.items() if value == most)
        raise PlanError(
            f"{field}: {under} asks at least {least:,.0f} and {over} at most {most:,.0f} (currently {spend:,.0f})"
        )
    return least, max(most, least)


def _require_known(design: Design, names: Sequence[str], plan: PlanSpec) -> None:
    named = [(f"causal.plan.channels.{name}", name) for name in plan.channels]
    named += [(f"causal.plan.groups.{title}.channels", name) for title, g in plan.groups.items() for name in g.channels]
    paid = design.channels[: design.paid]
    for field, name in named:
        if name not in paid:
            close = difflib.get_close_matches(name, paid, n=1)
            hint = f' (closest: "{close[0]}")' if close else ""
            raise PlanError(f"{field}: {name} is not a paid channel{hint}; there are {', '.join(paid)}")
        if name not in names:
            raise PlanError(f"{field}: {name} spent nothing in the plan's weeks, so there is nothing to scale")


def _tightened(problem: Problem) -> Problem:
    """The problem, once it is sure that something fits all its bounds.

    Raises
    ------
    PlanError : nothing does; names the bounds that would have to give way
    """
    from scipy.optimize import linprog

    if not np.all(np.isfinite(problem.high)) and not np.all(np.isfinite(problem.row_high)):
        name = problem.channels[problem.place[int(np.argmax(~np.isfinite(problem.high))), 0]]
        raise PlanError(
            f"causal.plan: nothing bounds the spend on {name}: give causal.plan.channels.{name}.high or "
            "causal.plan.flexible.most"
        )
    n, m = len(problem.unit), len(problem.rows)
    # Each row may be broken at a price; what has to be broken contradicts the rest.
    price = np.concatenate([np.zeros(n), np.ones(2 * m)])
    scale = problem.current
    above = np.hstack([problem.rows, -np.eye(m), np.zeros((m, m))])
    below = np.hstack([-problem.rows, np.zeros((m, m)), -np.eye(m)])
    limit = np.concatenate([problem.row_high, -problem.row_low]) / scale
    real = np.isfinite(limit)
    found = linprog(
        price,
        A_ub=np.vstack([above, below])[real],
        b_ub=limit[real],
        bounds=[
            *zip(problem.low / scale, problem.high / scale, strict=True),
            *[(0.0, None)] * (2 * m),
        ],
        method="highs",
    )
    if not found.success:
        raise PlanError(f"the bounds of the plan could not be checked: {found.message}")
    if found.fun > 1e-7:
        broken = found.x[n : n + m] + found.x[n + m :]
        least, most = _reach(problem)
        lines = [
            f"{problem.row_names[i]} ({_range(problem.row_low[i], problem.row_high[i])})"
            for i in np.flatnonzero(broken > 1e-7)
        ]
        raise PlanError(
            f"the plan's bounds contradict each other: {'; '.join(lines)} cannot be kept together with the others "
            f"({'; '.join(f'{name} {_range(a, b)}' for name, a, b in zip(problem.channels, least, most, strict=True))})"
            ": widen the channels' bounds (causal.plan.channels, causal.plan_band) or change the total"
        )
    # No variable can exceed what a sum that it is part of may be.
    limits = np.where(problem.rows > 0, problem.row_high[:, None], np.inf).min(axis=0)
    return replace(problem, high=np.minimum(problem.high, limits))


def _reach(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Least and most of each channel by its own bounds."""
    least, most = problem.by_channel(problem.low), problem.by_channel(problem.high)
    for row, a, b in zip(problem.rows, problem.row_low, problem.row_high, strict=True):
        inside = np.flatnonzero(problem.by_channel(row))
        if len(inside) == 1 and len(problem.channels) > 1:
            least[inside[0]], most[inside[0]] = max(least[inside[0]], a), min(most[inside[0]], b)
    return least, most


def _range(low: float, high: float) -> str:
    if low == high:
        return f"{low:,.0f}"
    return f"at least {low:,.0f}" if not np.isfinite(high) else f"{low:,.0f} to {high:,.0f}"
