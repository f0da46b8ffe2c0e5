"""The budget plan: the newest weeks' spend, spread better, as tables.

The plan redoes the newest weeks: what those weeks' media would have returned, all else as it was. Its parts stand in
`plan_spec` (what may be asked), `plan_program` (responses), `plan_problem` (bounds) and `plan_solve` (the search).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import Fitted, interval
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.plan.problem import PlanError, Problem, build_problem
from liftos_pipelines.modules.causal.plan.program import Program, Simulation, build_program
from liftos_pipelines.modules.causal.plan.solve import Solution, risk_value, solve
from liftos_pipelines.modules.causal.plan.spec import PlanSpec
from liftos_pipelines.tables import ALL, table

__all__ = ["Plan", "PlanError", "budget_plan", "make_plan"]
MOST_DRAWS, LEAST_DRAWS = 500, 100
STEP_DRAWS, STEP_CELLS = 300, 60_000
"""With steps: most draws, and geo-weeks times draws of one channel."""
MARGIN = 0.01
EDGE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`channels`: the table `causal/budget_plan`; `steps`: the table `causal/plan_steps`, without steps a single one;
    `scales` (n_channels, n_steps) of the program; `solution` None where nothing was spent."""

    channels: pl.DataFrame
    steps: pl.DataFrame
    program: Program
    scales: FloatArray
    solution: Solution | None


def budget_plan(
    fitted: Fitted, *, plan_weeks: int, band: float, seed: int, plan: PlanSpec | None = None
) -> pl.DataFrame:
    """The table `causal/budget_plan` (see `make_plan`)."""
    return make_plan(fitted, plan_weeks=plan_weeks, band=band, seed=seed, plan=plan).channels


def make_plan(fitted: Fitted, *, plan_weeks: int, band: float, seed: int, plan: PlanSpec | None = None) -> Plan:
    """A plan for the newest weeks, one row a paid channel and one for `all`; empty when nothing was spent.

    Without steps each channel's whole flighting is scaled, carry-over into and out of the weeks at its steady state.
    With steps the weeks before stay as they were, and what the plan leaves for the weeks after is counted, where spend
    goes on as in the plan's first weeks. A channel's mean week (of a step) stays at or below its highest observed week
    unless that is allowed. Where no better plan than the current one is found and that keeps the bounds, it stays.

    In the multiplicative form the row `all` is the joint response, from which the channels' own do not add up.

    Extra columns: scale, bound (lower, upper, observed, none; of `all`: fixed or flexible), beyond_observed,
    probability_better, roi_current, roi_planned, mroi_planned (per currency, in `unit`), objective (the risk measure),
    certificate_gap, kkt_residual, unit, weeks, carry (steady or simulated).

    Parameters
    ----------
    plan_weeks, band : used where `plan` does not say

    Raises
    ------
    PlanError : bounds that contradict each other, a target that cannot be reached, or the search failed
    """
    plan = plan or PlanSpec()
    if plan.flexible is not None and not fitted.design.money:
        raise PlanError(
            "causal.plan.flexible asks for a return on spend, but revenue is unknown: map revenue_per_outcome, or give "
            "causal.plan.budget"
        )
    program = build_program(fitted, plan.weeks or plan_weeks, plan.steps)
    if not program.channels:
        nothing = table("causal/budget_plan").empty()
        return Plan(channels=nothing, steps=_no_steps(), program=program, scales=program.spend * 0, solution=None)
    simulation = Simulation(fitted, fitted.draws.thin(draws_for(program)), program)
    band_name = "causal.plan_band" if plan.band is None else "causal.plan.band"
    problem = build_problem(
        fitted.design, program, plan, band=band if plan.band is None else plan.band, band_name=band_name
    )
    solution = solve(problem, simulation, starts=plan.starts, seed=seed)
    scales = problem.scales(solution.spend)
    channels = _channel_rows(fitted.design, problem, simulation, solution, scales)
    steps = _step_rows(fitted.design, problem, program, solution)
    return Plan(channels=channels, steps=steps, program=program, scales=scales, solution=solution)


def draws_for(program: Program) -> int:
    """Fewer draws where geos and weeks are many and the response has to be simulated at every step of the search."""
    cells = program.weight.size
    return MOST_DRAWS if program.steady else int(np.clip(STEP_CELLS // cells, LEAST_DRAWS, STEP_DRAWS))


def _channel_rows(
    design: Design, problem: Problem, simulation: Simulation, solution: Solution, scales: FloatArray
) -> pl.DataFrame:
    program = simulation.program
    spend, now = problem.by_channel(solution.spend), program.spend_now.sum(axis=1)
    low, high = problem.by_channel(problem.low), problem.by_channel(problem.high)
    observed = problem.by_channel(problem.observed)
    over = problem.by_channel((solution.spend > problem.observed * (1 + EDGE)).astype(float)) > 0
    planned = simulation.by_channel(scales)
    total = simulation.values(scales)
    rows = []
    for c, name in enumerate(problem.channels):
        more = scales.copy()
        more[c] *= 1 + MARGIN
        margin = (simulation.values(more) - total).mean() / (MARGIN * spend[c]) if spend[c] > 0 else None
        rows.append(
            _row(name, now[c], spend[c], simulation.current_by_channel[c], planned[c])
            | {
                "scale": float(spend[c] / now[c]),
                "bound": _bound(spend[c], low[c], high[c], observed[c], now[c]),
                "beyond_observed": bool(over[c]),
                "mroi_planned": None if margin is None else float(margin),
            }
        )
    whole = _row(ALL, now.sum(), spend.sum(), simulation.current, total)
    whole |= {
        "scale": float(spend.sum() / now.sum()),
        "bound": "fixed" if problem.total is not None else "flexible",
        "beyond_observed": bool(over.any()),
        "mroi_planned": None,
        "objective": risk_value(total, problem.risk),
        "certificate_gap": solution.certificate_gap,
        "kkt_residual": solution.kkt_residual,
    }
    schema = {name: kind for name, kind in table("causal/budget_plan").columns.items()} | {
        "probability_better": pl.Float64(),
        "roi_current": pl.Float64(),
        "roi_planned": pl.Float64(),
        "mroi_planned": pl.Float64(),
        "scale": pl.Float64(),
        "bound": pl.String(),
        "beyond_observed": pl.Boolean(),
        "objective": pl.Float64(),
        "certificate_gap": pl.Float64(),
        "kkt_residual": pl.Float64(),
    }
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in (*rows, whole)], schema=schema)
    return frame.with_columns(
        unit=pl.lit("revenue" if design.money else "outcome"),
        weeks=pl.lit(program.weeks),
        carry=pl.lit("steady" if program.steady else "simulated"),
        risk=pl.lit(problem.risk.measure),
    )


def _row(name: str, spend: float, planned_spend: float, now: FloatArray, planned: FloatArray) -> dict[str, object]:
    mean, low, high = interval(planned - now)
    return {
        "channel": name,
        "spend_current": float(spend),
        "spend_planned": float(planned_spend),
        "response_current": float(now.mean()),
        "response_planned": float(planned.mean()),
        "uplift": mean,
        "uplift_low": low,
        "uplift_high": high,
        "probability_better": float((planned > now).mean()),
        "roi_current": float(now.mean() / spend),
        "roi_planned": float(planned.mean() / planned_spend) if planned_spend > 0 else None,
    }


def _bound(spend: float, low: float, high: float, observed: float, now: float) -> str:
    if spend <= low + EDGE * now:
        return "lower"
    if spend >= high - EDGE * now:
        return "observed" if observed <= high * (1 + EDGE) else "upper"
    return "none"


STEP_COLUMNS: dict[str, pl.DataType] = {
    "channel": pl.String(),
    "step": pl.Int64(),
    "week_start": pl.Date(),
    "week_end": pl.Date(),
    "spend_current": pl.Float64(),
    "spend_planned": pl.Float64(),
    "scale": pl.Float64(),
    "bound": pl.String(),
    "beyond_observed": pl.Boolean(),
}


def _no_steps() -> pl.DataFrame:
    return pl.DataFrame(schema=STEP_COLUMNS)


def _step_rows(design: Design, problem: Problem, program: Program, solution: Solution) -> pl.DataFrame:
    """One row a channel and step; dates are those of the weeks that the plan redoes."""
    first = len(design.weeks) - program.weeks
    rows = []
    for i, (c, k) in enumerate(problem.place):
        a, b = program.step_weeks[k]
        spend, now = float(solution.spend[i]), float(program.spend_now[c, k])
        rows.append(
            {
                "channel": problem.channels[c],
                "step": int(k) + 1,
                "week_start": design.weeks[first + a],
                "week_end": design.weeks[first + b - 1],
                "spend_current": now,
                "spend_planned": spend,
                "scale": spend / now if now > 0 else None,
                "bound": _bound(spend, problem.low[i], problem.high[i], problem.observed[i], problem.unit[i]),
                "beyond_observed": bool(spend > problem.observed[i] * (1 + EDGE)),
            }
        )
    return pl.DataFrame(rows, schema=STEP_COLUMNS)
