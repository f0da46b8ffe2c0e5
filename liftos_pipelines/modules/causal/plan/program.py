"""What a budget plan decides over a stretch of weeks, and the response of any decision, draw by draw, with gradient.

A decision is a vector of scales: one a channel, or one a channel and step of weeks. Exposure is `fixed` plus the sum of
scale times `pattern`; it is carried over and saturates as in the model (`draws.Media`, to which tests hold it equal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws
from liftos_pipelines.modules.causal.engine.transforms import Curve, FloatArray, carry_weights, lag_tensor, saturate
from liftos_pipelines.modules.causal.plan.spec import Steps

TINY = 1e-9
CACHED = 4000


@dataclass(frozen=True, kw_only=True)
class Program:
    """Exposure over weeks before, of and after the plan; axes (n_channels, n_geos, n_weeks), model units.

    With reach and frequency the exposure that money buys is people, and `frequency` stays. Without steps the weeks
    before are scaled with the plan (a steady state) and none follow. With steps the weeks before are as they were and
    the weeks after repeat the plan's first weeks as they were, so that what the plan leaves behind is counted.
    """

    channels: tuple[int, ...]
    """Positions in the design; paid channels that spent something in the plan's weeks."""
    fixed: FloatArray
    pattern: FloatArray
    """(n_channels, n_steps, n_geos, n_weeks)"""
    actual: FloatArray
    """As it was (and goes on after the plan)."""
    frequency: FloatArray
    actual_frequency: FloatArray
    spend: FloatArray
    """(n_channels, n_steps), currency of the pattern."""
    spend_now: FloatArray
    """(n_channels, n_steps), as it was."""
    weight: FloatArray
    """(n_geos, n_weeks), what one unit of response counts for; 0 outside the weeks that count. In the multiplicative
    form: what the outcome of that week is worth."""
    step_weeks: tuple[tuple[int, int], ...]
    """First and one past the last week of each step, positions in the plan's weeks."""
    weeks: int
    steady: bool
    """The weeks before are scaled with the plan."""


def build_program(fitted: Fitted, weeks: int, steps: Steps | None) -> Program:
    """The program of the newest `weeks`; no channels when none of them spent."""
    design = fitted.design
    _, geos, total = design.shape
    weeks = min(weeks, total)
    first, lag = total - weeks, fitted.media.structure.max_lag
    before = min(lag, first)
    spend = design.spend[: design.paid, :, first:]
    channels = tuple(c for c in range(design.paid) if spend[c].sum() > 0)
    chosen = list(channels)
    bought = np.where(np.array(design.frequency)[:, None, None], design.multiplier, design.x)[
        chosen, :, first - before :
    ]
    seen = design.x[chosen, :, first - before :]
    worth = fitted.worth() * (design.outcome if design.log else design.scales.size[:, None] * design.scales.spread)
    if steps is None:
        weight = np.concatenate([np.zeros((geos, before)), worth[:, first:]], axis=1)
        money = spend[chosen].sum(axis=(1, 2))[:, None]
        return Program(
            channels=channels,
            fixed=np.zeros_like(bought),
            pattern=bought[:, None],
            actual=bought,
            frequency=seen,
            actual_frequency=seen,
            spend=money,
            spend_now=money,
            weight=weight,
            step_weeks=((0, weeks),),
            weeks=weeks,
            steady=True,
        )
    after = np.arange(lag) % weeks
    tail = before + after
    actual = np.concatenate([bought, bought[:, :, tail]], axis=2)
    frequency = np.concatenate([seen, seen[:, :, tail]], axis=2)
    inside = slice(before, before + weeks)
    spread_even = steps.shape == "even"
    template = actual[:, :, inside]
    planned_frequency = frequency.copy()
    if spread_even:
        people = template.sum(axis=2)
        mean = (template * frequency[:, :, inside]).sum(axis=2) / np.maximum(people, TINY)
        planned_frequency[:, :, inside] = mean[:, :, None]
        template = np.repeat(people[:, :, None] / weeks, weeks, axis=2)
    edges = [(a, min(a + steps.weeks, weeks)) for a in range(0, weeks, steps.weeks)]
    pattern = np.zeros((len(chosen), len(edges), *actual.shape[1:]))
    now = np.zeros((len(chosen), len(edges)))
    for k, (a, b) in enumerate(edges):
        pattern[:, k, :, before + a : before + b] = template[:, :, a:b]
        now[:, k] = spend[chosen][:, :, a:b].sum(axis=(1, 2))
    widths = np.array([b - a for a, b in edges])
    fixed = actual.copy()
    fixed[:, :, inside] = 0.0
    return Program(
        channels=channels,
        fixed=fixed,
        pattern=pattern,
        actual=actual,
        frequency=planned_frequency,
        actual_frequency=frequency,
        spend=now.sum(axis=1, keepdims=True) * widths / weeks if spread_even else now,
        spend_now=now,
        weight=np.concatenate([np.zeros((geos, before)), worth[:, first:], worth[:, first + after]], axis=1),
        step_weeks=tuple(edges),
        weeks=weeks,
        steady=False,
    )


def curve_slope(
    kind: Curve, exposure: FloatArray, value: FloatArray, first: FloatArray, second: FloatArray
) -> FloatArray:
    """Derivative of `saturate` by exposure, given its value."""
    if kind == "none":
        return np.ones_like(value)
    if kind in ("hill", "michaelis_menten"):
        if kind == "michaelis_menten" or np.all(second == 1.0):
            return np.asarray(first / (exposure + first) ** 2)
        return np.asarray(second * value * (1 - value) / np.maximum(exposure, TINY))
    if kind == "logistic":
        return np.asarray(0.5 * first * (1 - value**2))
    return np.asarray((1 - value**2) / first)


class Simulation:
    """The response of decisions: revenue where known, else outcome, gained over spending nothing in the plan.

    Arrays inside are (n_geos, n_weeks, n_draws).
    """

    def __init__(self, fitted: Fitted, draws: Draws, program: Program) -> None:
        self.program, self.draws = program, draws
        self.log, self.spread = fitted.design.log, fitted.design.scales.spread
        structure = fitted.media.structure
        self._lags = structure.max_lag
        self._curve = [structure.curve[c] for c in program.channels]
        self._first = [structure.saturates_first[c] for c in program.channels]
        self._by_reach = [fitted.design.frequency[c] for c in program.channels]
        self._form = [draws.form[:, c] for c in program.channels]
        self._carry = [
            carry_weights(structure.carry[c], form[:, 0], form[:, 1], self._lags).T
            for c, form in zip(program.channels, self._form, strict=True)
        ]
        self._size = [(draws.coefficient[:, c, None] * draws.geo_effect[:, c]).T for c in program.channels]
        self._cache: dict[tuple[int, bytes], FloatArray] = {}
        self.concave = not self.log and all(
            kind != "hill" or float(form[:, 3].max()) <= 1.0 for kind, form in zip(self._curve, self._form, strict=True)
        )
        """Whether every draw's response is concave in the decision: additive, and no curve is S-shaped."""
        count, steps = program.spend.shape
        none = np.zeros(steps)
        if self.log:
            actual = [self._forward(c, program.actual[c], program.actual_frequency[c])[0] for c in range(count)]
            silent = [self._forward(c, self._exposure(c, none), program.frequency[c])[0] for c in range(count)]
            self._now = sum(actual)
            self._nothing = self._worth(np.exp(self.spread * (sum(silent) - self._now)))
            self._own = [self._worth(np.exp(self.spread * (s - a))) for s, a in zip(silent, actual, strict=True)]
            self.current_by_channel = np.stack([self._worth(np.ones_like(self._now)) - own for own in self._own])
            self.current = self._worth(np.ones_like(self._now)) - self._nothing
            self._actual = actual
        else:
            self._silent = [self._channel_total(c, none) for c in range(count)]
            self.current_by_channel = np.stack(
                [
                    self._worth(self._forward(c, program.actual[c], program.actual_frequency[c])[0]) - self._silent[c]
                    for c in range(count)
                ]
            )
            self.current = self.current_by_channel.sum(axis=0)

    def _exposure(self, c: int, scales: FloatArray) -> FloatArray:
        return np.asarray(self.program.fixed[c] + np.tensordot(scales, self.program.pattern[c], axes=1))

    def _worth(self, response: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("gt,gtd->d", self.program.weight, response))

    def _carried(self, c: int, exposure: FloatArray) -> FloatArray:
        """Lagged and weighted: exposure (n_geos, n_weeks) or (n_geos, n_weeks, n_draws)."""
        weights, n = self._carry[c], exposure.shape[1]
        if exposure.ndim == 2:
            return np.asarray(lag_tensor(exposure, self._lags) @ weights)
        out = np.zeros(exposure.shape)
        for lag in range(min(self._lags, n - 1) + 1):
            out[:, lag:] += exposure[:, : n - lag] * weights[lag]
        return out

    def _back(self, c: int, upstream: FloatArray) -> FloatArray:
        """The transpose of `_carried` for draws apart: (n_geos, n_weeks, n_draws)."""
        weights, n = self._carry[c], upstream.shape[1]
        out = np.zeros_like(upstream)
        for lag in range(min(self._lags, n - 1) + 1):
            out[:, : n - lag] += upstream[:, lag:] * weights[lag]
        return out

    def _forward(self, c: int, exposure: FloatArray, frequency: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Response in units of y, and what the backward pass multiplies with."""
        kind, first, second = self._curve[c], self._form[c][:, 2], self._form[c][:, 3]
        size = self._size[c][:, None, :]
        if self._by_reach[c]:
            within = saturate(kind, frequency[..., None], first, second)
            return size * self._carried(c, within * exposure[..., None]), within
        if self._first[c]:
            wide = exposure[..., None]
            value = saturate(kind, wide, first, second) * np.ones_like(first)
            return size * self._carried(c, value), curve_slope(kind, wide, value, first, second)
        carried = self._carried(c, exposure)
        value = saturate(kind, carried, first, second)
        return size * value, curve_slope(kind, carried, value, first, second)

    def _gradient(self, c: int, upstream: FloatArray, local: FloatArray) -> FloatArray:
        """(n_steps,), given the derivative by the channel's response."""
        sized = upstream * self._size[c][:, None, :]
        if self._first[c]:
            by_exposure = (self._back(c, sized) * local).sum(axis=2)
        else:
            by_exposure = self._back(c, sized * local).sum(axis=2)
        return np.asarray(np.tensordot(self.program.pattern[c], by_exposure, axes=2))

    def _channel_total(self, c: int, scales: FloatArray) -> FloatArray:
        key = (c, scales.tobytes())
        if key not in self._cache:
            if len(self._cache) > CACHED:
                self._cache.clear()
            response, _ = self._forward(c, self._exposure(c, scales), self.program.frequency[c])
            self._cache[key] = self._worth(response)
        return self._cache[key]

    def values(self, scales: FloatArray) -> FloatArray:
        """(n_draws,), for `scales` (n_channels, n_steps)."""
        if not self.log:
            return np.asarray(sum(self._channel_total(c, s) - self._silent[c] for c, s in enumerate(scales)))
        planned = sum(
            self._forward(c, self._exposure(c, s), self.program.frequency[c])[0] for c, s in enumerate(scales)
        )
        return self._worth(np.exp(self.spread * (planned - self._now))) - self._nothing

    def by_channel(self, scales: FloatArray) -> FloatArray:
        """(n_channels, n_draws), each channel against its own silence, all others as they were."""
        if not self.log:
            return np.stack([self._channel_total(c, s) - self._silent[c] for c, s in enumerate(scales)])
        rows = []
        for c, s in enumerate(scales):
            planned = self._forward(c, self._exposure(c, s), self.program.frequency[c])[0]
            rows.append(self._worth(np.exp(self.spread * (planned - self._actual[c]))) - self._own[c])
        return np.stack(rows)

    def with_gradient(self, scales: FloatArray) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """Values and a function from weights of draws (n_draws,) to the gradient (n_channels, n_steps) of their sum."""
        program = self.program
        passes = [self._forward(c, self._exposure(c, s), program.frequency[c]) for c, s in enumerate(scales)]
        if self.log:
            factor = np.exp(self.spread * (sum(response for response, _ in passes) - self._now))
            value = self._worth(factor) - self._nothing
        else:
            factor = np.ones(1)
            value = np.asarray(sum(self._worth(response) - self._silent[c] for c, (response, _) in enumerate(passes)))

        def pull(weights: FloatArray) -> FloatArray:
            upstream = program.weight[..., None] * weights * (self.spread * factor if self.log else 1.0)
            return np.stack([self._gradient(c, upstream, local) for c, (_, local) in enumerate(passes)])

        return value, pull


class Separable:
    """Without steps and in the additive form, channels add up: their responses on a grid, monotone between points."""

    def __init__(self, simulation: Simulation, low: FloatArray, high: FloatArray, points: int) -> None:
        from scipy.interpolate import PchipInterpolator

        self.curves, self.slopes = [], []
        for c, (a, b) in enumerate(zip(low, high, strict=True)):
            # A channel that cannot move still needs two points.
            grid = np.linspace(a, max(b, a + 1e-6), points)
            values = np.stack([simulation._channel_total(c, np.array([s])) - simulation._silent[c] for s in grid])
            curve = PchipInterpolator(grid, values, axis=0)
            self.curves.append(curve)
            self.slopes.append(curve.derivative())

    def with_gradient(self, scales: FloatArray) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """As `Simulation.with_gradient`; scales (n_channels, 1) within the grid."""
        at = scales[:, 0]
        value = np.asarray(sum(curve(s) for curve, s in zip(self.curves, at, strict=True)))

        def pull(weights: FloatArray) -> FloatArray:
            return np.array([[float(slope(s) @ weights)] for slope, s in zip(self.slopes, at, strict=True)])

        return value, pull
