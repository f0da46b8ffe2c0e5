"""The best feasible spend: SLSQP from many starts, exchanges until none gains, and a certificate of that.

Sources: Kraft (1988), A software package for sequential quadratic programming; Rockafellar & Uryasev (2000),
Optimization of conditional value-at-risk; Harrell & Davis (1982), A new distribution-free quantile estimator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.plan.problem import PlanError, Problem
from liftos_pipelines.modules.causal.plan.program import Separable, Simulation
from liftos_pipelines.modules.causal.plan.spec import Risk

GRID = 17
"""Points of each channel's response without steps; between them it is interpolated."""
TRANSFER = 0.01
"""Of the total (a step's share of it): what the certificate moves from one variable to another."""
ROUNDS = 40
MOST_PAIRS = 400
"""Pairs that the certificate tries on the exact response, the most promising by gradient first."""
MOST_STARTS = 3
"""With steps: what a start costs there grows with their number."""
GAINS = 1e-8
"""Relative gain below which an exchange is rounding."""
FEASIBLE = 1e-7
CONVERGED = 1e-4
TARGET_SLACK = 1e-6
BISECTIONS = 60


@dataclass(frozen=True, kw_only=True)
class Solution:
    """`spend` (n,); `certificate_gap`: the largest gain of any transfer, as a share of the objective, 0 or less where
    none gains; `pairs` how many of `all_pairs` were tried or, the response being concave, bounded by their gradient;
    `kkt_residual`: what the multipliers of the active
    bounds leave of the gradient, as a share of its largest entry."""

    spend: FloatArray
    objective: float
    certificate_gap: float
    pairs: int
    all_pairs: int
    kkt_residual: float
    starts: int
    converged: int


def risk_weights(values: FloatArray, risk: Risk) -> FloatArray:
    """(n_draws,) weights of unit sum: the measure is their product with the values, and its gradient theirs.

    A quantile is that of Harrell and Davis: a mean of order statistics about it.
    """
    n = len(values)
    if risk.measure == "mean":
        return np.full(n, 1 / n)
    place = np.arange(n + 1) / n
    if risk.measure == "cvar":
        steps = np.minimum(place / risk.q, 1.0)
    else:
        from scipy.stats import beta

        steps = beta.cdf(place, (n + 1) * risk.q, (n + 1) * (1 - risk.q))
    out = np.empty(n)
    out[np.argsort(values, kind="stable")] = np.diff(steps)
    return out


def risk_value(values: FloatArray, risk: Risk) -> float:
    """The measure of a distribution of draws."""
    return float(values @ risk_weights(values, risk))


class Objective:
    """Risk measure of the response, less the target's price of the spend where that is on marginal ROI."""

    def __init__(self, problem: Problem, response: Simulation | Separable, exact: Simulation) -> None:
        self.problem, self.response, self.exact = problem, response, exact
        flexible = problem.flexible
        self.price = (flexible.mroi or 0.0) if flexible is not None else 0.0
        self.target = flexible.roi if flexible is not None else None

    def value(self, spend: FloatArray) -> float:
        """On the exact response."""
        return risk_value(self.exact.values(self.problem.scales(spend)), self.problem.risk) - self.price * spend.sum()

    def margin(self, spend: FloatArray) -> float:
        """Response above what the target on ROI asks for; infinite without one."""
        if self.target is None:
            return np.inf
        return risk_value(self.exact.values(self.problem.scales(spend)), self.problem.risk) - self.target * spend.sum()

    def response_and_gradient(self, spend: FloatArray, *, exact: bool = False) -> tuple[float, FloatArray]:
        """Risk measure of the response and its derivative by each variable's spend."""
        values, pull = (self.exact if exact else self.response).with_gradient(self.problem.scales(spend))
        weights = risk_weights(values, self.problem.risk)
        return float(values @ weights), self.problem.gather(pull(weights)) / self.problem.unit


def solve(problem: Problem, simulation: Simulation, *, starts: int, seed: int) -> Solution:
    """The best feasible spend found.

    Raises
    ------
    PlanError : no start converged, or no feasible spend reaches the target on ROI
    """
    separable = problem.steps == 1 and not simulation.log
    response: Simulation | Separable = simulation
    if separable:
        response = Separable(simulation, problem.low / problem.unit, problem.high / problem.unit, GRID)
    objective = Objective(problem, response, simulation)
    rng = np.random.default_rng(seed)
    found: list[FloatArray] = []
    reports: list[str] = []
    tried = 0
    for start in _starts(problem, rng, starts if problem.steps == 1 else min(starts, MOST_STARTS)):
        tried += 1
        spend, report = _slsqp(objective, start)
        reports.append(report)
        if spend is not None:
            found.append(spend)
        found.append(start)
        # A convex problem has one optimum: where a search has reached it, further starts only cost time.
        if problem.steps > 1 and spend is not None and _is_convex(objective) and _kkt(objective, spend) < CONVERGED:
            break
    reached = [spend for spend in found if objective.margin(spend) >= -TARGET_SLACK * problem.current]
    if not reached:
        assert objective.target is not None
        best = max(found, key=objective.margin)
        ratio = (objective.margin(best) / best.sum()) + objective.target
        raise PlanError(
            f"causal.plan.flexible.roi is {objective.target:g}, but within the bounds the best return found "
            f"is {ratio:.3g}: lower the target or the least that channels must spend"
        )
    converged = sum("success" in report.lower() for report in reports)
    if not converged:
        raise PlanError(f"the optimiser converged from none of {tried} starts: {'; '.join(sorted(set(reports)))}")
    best = max(reached, key=objective.value)
    best, gap, pairs, every = _exchange(objective, best)
    return Solution(
        spend=best,
        objective=objective.value(best),
        certificate_gap=gap,
        pairs=pairs,
        all_pairs=every,
        kkt_residual=_kkt(objective, best),
        starts=tried,
        converged=converged,
    )


def _is_convex(objective: Objective) -> bool:
    """Whether a concave objective is maximised: means over draws, or over the worst of them, of concave responses."""
    return objective.exact.concave and objective.problem.risk.measure != "quantile"


def _starts(problem: Problem, rng: np.random.Generator, count: int) -> Iterator[FloatArray]:
    """Feasible points: the nearest to today's, then mixtures of random corners."""
    today = _nearest(problem)
    yield today
    corners = [_corner(problem, rng.standard_normal(len(problem.unit))) for _ in range(min(count - 1, 6))]
    for _ in range(count - 1):
        yield rng.dirichlet(np.ones(len(corners) + 1)) @ np.array([today, *corners])


def _linear(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Rows and limits of `rows @ spend <= limits` in shares of the current total."""
    rows = np.vstack([problem.rows, -problem.rows])
    limits = np.concatenate([problem.row_high, -problem.row_low]) / problem.current
    real = np.isfinite(limits)
    return rows[real], limits[real]


def _corner(problem: Problem, price: FloatArray) -> FloatArray:
    from scipy.optimize import linprog

    rows, limits = _linear(problem)
    bounds = list(zip(problem.low / problem.current, problem.high / problem.current, strict=True))
    found = linprog(price, A_ub=rows, b_ub=limits + 1e-12, bounds=bounds, method="highs")
    if not found.success:
        raise PlanError(f"no spend within the plan's bounds was found: {found.message}")
    return np.clip(found.x * problem.current, problem.low, problem.high)


def _nearest(problem: Problem) -> FloatArray:
    """The feasible spend nearest to today's by the sum of absolute differences."""
    from scipy.optimize import linprog

    today = problem.unit / problem.current
    if problem.violation(problem.unit) <= 1e-12:
        return problem.unit.copy()
    n = len(today)
    rows, limits = _linear(problem)
    eye = np.eye(n)
    found = linprog(
        np.concatenate([np.zeros(n), np.ones(n)]),
        A_ub=np.vstack([np.hstack([rows, np.zeros_like(rows)]), np.hstack([eye, -eye]), np.hstack([-eye, -eye])]),
        b_ub=np.concatenate([limits + 1e-12, today, -today]),
        bounds=[*zip(problem.low / problem.current, problem.high / problem.current, strict=True), *[(0, None)] * n],
        method="highs",
    )
    if not found.success:
        raise PlanError(f"no spend within the plan's bounds was found: {found.message}")
    return np.clip(found.x[:n] * problem.current, problem.low, problem.high)


def _slsqp(objective: Objective, start: FloatArray) -> tuple[FloatArray | None, str]:
    """One local search; None where it ended outside the bounds. Works in shares of the current total."""
    from scipy.optimize import minimize

    problem = objective.problem
    money = problem.current
    size = max(abs(risk_value(objective.exact.current, problem.risk)), 1e-300)
    last: dict[bytes, tuple[float, FloatArray]] = {}

    def evaluate(share: FloatArray) -> tuple[float, FloatArray]:
        key = share.tobytes()
        if key not in last:
            last.clear()
            value, slope = objective.response_and_gradient(np.clip(share * money, problem.low, problem.high))
            last[key] = (value / size, slope * money / size)
        return last[key]

    price = objective.price * money / size
    rows, limits = _linear(problem)
    equal = np.isfinite(problem.row_high) & (problem.row_low == problem.row_high)
    constraints: list[dict[str, object]] = []
    if equal.any():
        matrix, at = problem.rows[equal], problem.row_low[equal] / money
        constraints.append({"type": "eq", "fun": lambda x: matrix @ x - at, "jac": lambda x: matrix})
    both = np.concatenate([equal, equal])[np.isfinite(np.concatenate([problem.row_high, -problem.row_low]))]
    loose, loose_limits = rows[~both], limits[~both]
    if len(loose):
        constraints.append({"type": "ineq", "fun": lambda x: loose_limits - loose @ x, "jac": lambda x: -loose})
    if objective.target is not None:
        per = objective.target * money / size
        constraints.append(
            {
                "type": "ineq",
                "fun": lambda x: np.array([evaluate(x)[0] - per * x.sum()]),
                "jac": lambda x: (evaluate(x)[1] - per)[None],
            }
        )
    done = minimize(
        lambda x: -(evaluate(x)[0] - price * x.sum()),
        start / money,
        jac=lambda x: -(evaluate(x)[1] - price),
        method="SLSQP",
        bounds=list(zip(problem.low / money, problem.high / money, strict=True)),
        constraints=constraints,
        options={"ftol": 1e-12 if problem.steps == 1 else 1e-10, "maxiter": 300},
    )
    spend = _repaired(problem, np.asarray(done.x) * money)
    if problem.violation(spend) > FEASIBLE:
        return None, str(done.message)
    return _on_target(objective, spend, start), str(done.message)


def _repaired(problem: Problem, spend: FloatArray) -> FloatArray:
    """Rounding taken out: within bounds, and the total to the last digit where it is fixed and room is left."""
    spend = np.clip(spend, problem.low, problem.high)
    if problem.total is None:
        return spend
    left = problem.total - spend.sum()
    room = (problem.high - spend) if left > 0 else (spend - problem.low)
    return spend + left * room / room.sum() if room.sum() > abs(left) > 0 else spend


def _on_target(objective: Objective, spend: FloatArray, start: FloatArray) -> FloatArray:
    """Interpolation may miss a target on ROI by a hair: step back towards a point that keeps it."""
    if objective.margin(spend) >= 0:
        return spend
    anchor = min((start, _corner(objective.problem, np.ones(len(spend)))), key=lambda s: -objective.margin(s))
    if objective.margin(anchor) < 0:
        return spend
    near, far = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        near, far = (middle, far) if objective.margin(spend + middle * (anchor - spend)) < 0 else (near, middle)
    return np.asarray(spend + far * (anchor - spend))


def _exchange(objective: Objective, spend: FloatArray) -> tuple[FloatArray, float, int, int]:
    """Move money between pairs while that gains; then the largest gain left, pairs tried, and pairs there are."""
    amount = TRANSFER * spend.sum() / objective.problem.steps
    for _ in range(ROUNDS):
        gain, moved, pairs, every = _best_transfer(objective, spend, amount)
        if gain <= GAINS:
            return spend, gain, pairs, every
        spend = moved
    gain, _, pairs, every = _best_transfer(objective, spend, amount, to_the_end=True)
    return spend, gain, pairs, every


def _best_transfer(
    objective: Objective, spend: FloatArray, amount: float, *, to_the_end: bool = False
) -> tuple[float, FloatArray, int, int]:
    """Relative gain of a feasible transfer of `amount`, or as much as the bounds leave, or a tenth of it.

    The first that gains, unless `to_the_end`; else the best of all. Where the objective is concave no transfer gains
    more than its gradient says, so those whose gradient promises nothing count as tried.
    """
    problem = objective.problem
    now = objective.value(spend)
    size = max(abs(now), abs(risk_value(objective.exact.current, problem.risk)))
    _, slope = objective.response_and_gradient(spend, exact=True)
    slope = slope - objective.price
    n = len(spend)
    # A free total can also gain or lose money: the place past the last variable is outside the plan.
    places = n + (problem.total is None)
    worth = np.append(slope, 0.0)
    moves: list[tuple[float, int, int, float]] = []
    for giver in range(places):
        for taker in range(places):
            most = _room(problem, spend, giver, taker) if giver != taker else 0.0
            if most > 1e-9 * problem.current:
                step = min(amount, most)
                moves.append(((worth[taker] - worth[giver]) * step, giver, taker, step))
    moves.sort(key=lambda move: -move[0])
    best, where, tried = -np.inf, spend, 0
    concave = _is_convex(objective)
    for promised, giver, taker, most in moves:
        if concave and promised / size <= GAINS:
            best, tried = max(best, promised / size), len(moves)
            break
        if tried == MOST_PAIRS or (best > GAINS and not to_the_end):
            break
        tried += 1
        for step in (most, most / 10):
            moved = spend.copy()
            if giver < n:
                moved[giver] -= step
            if taker < n:
                moved[taker] += step
            if objective.margin(moved) < min(0.0, objective.margin(spend)):
                continue
            gain = (objective.value(moved) - now) / size
            if gain > best:
                best, where = gain, moved
    return (float(best) if moves else 0.0), where, tried, len(moves)


def _room(problem: Problem, spend: FloatArray, giver: int, taker: int) -> float:
    """Most that can move between two variables; the place past the last is outside."""
    n = len(spend)
    most = np.inf
    change = np.zeros(len(problem.rows))
    if giver < n:
        most = min(most, float(spend[giver] - problem.low[giver]))
        change -= problem.rows[:, giver]
    if taker < n:
        most = min(most, float(problem.high[taker] - spend[taker]))
        change += problem.rows[:, taker]
    sums = problem.rows @ spend
    up, down = change > 0, change < 0
    if up.any():
        most = min(most, float((problem.row_high - sums)[up].min()))
    if down.any():
        most = min(most, float((sums - problem.row_low)[down].min()))
    return max(most, 0.0)


def _kkt(objective: Objective, spend: FloatArray) -> float:
    """Gradient less the best multipliers of what is active, largest entry relative to the gradient's."""
    from scipy.optimize import lsq_linear

    problem = objective.problem
    value, slope = objective.response_and_gradient(spend, exact=True)
    gradient = slope - objective.price
    near = 1e-6 * problem.current
    eye, sums = np.eye(len(spend)), problem.rows @ spend
    active = [eye[i] for i in np.flatnonzero(problem.high - spend <= near)]
    active += [-eye[i] for i in np.flatnonzero(spend - problem.low <= near)]
    active += [problem.rows[i] for i in np.flatnonzero(problem.row_high - sums <= near)]
    active += [-problem.rows[i] for i in np.flatnonzero(sums - problem.row_low <= near)]
    if objective.target is not None and value - objective.target * spend.sum() <= 1e-3 * abs(value):
        active.append(-(slope - objective.target))
    largest = max(float(np.abs(slope).max()), 1e-300)
    if not active:
        return float(np.abs(gradient).max()) / largest
    fitted = lsq_linear(np.array(active).T, gradient, bounds=(0, np.inf))
    return float(np.abs(fitted.fun).max()) / largest
