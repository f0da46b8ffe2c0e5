"""Experiments of prompts and models: what looking daily costs, what is found, and what the usual rules would have said.

Everything is simulated, with truth known; no data are read. The naive control stands beside each figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from liftos_pipelines.bench.experiment_worlds import (
    Array,
    Peeked,
    adapted,
    clustered,
    correlated_past,
    daily,
    error_of,
    peek,
    split_paths,
    thompson,
)
from liftos_pipelines.bench.figure import Figure
from liftos_pipelines.modules.llm.experiments.adaptive import weighted_difference
from liftos_pipelines.modules.llm.experiments.compare import compare
from liftos_pipelines.modules.llm.experiments.difference import difference
from liftos_pipelines.modules.llm.experiments.guard import guard_mean
from liftos_pipelines.modules.llm.experiments.measured import METRICS
from liftos_pipelines.modules.llm.experiments.posterior import of_rates
from liftos_pipelines.modules.llm.experiments.quantiles import quantile_sequence
from liftos_pipelines.modules.llm.experiments.sample_size import sample_size, spread_of_rate
from liftos_pipelines.modules.llm.experiments.split import SRM_ALPHA
from liftos_pipelines.modules.llm.experiments.units import from_arrays
from liftos_pipelines.stats import wilson_interval

BENCHMARK = "llm"
WORLDS, PER_DAY = 2000, 60
METRIC = {metric.name: metric for metric in METRICS}
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


def measure(data: Path | None = None) -> Iterator[Figure]:
    """A/A and power under peeking, coverage, split, covariates, guardrails, units, adaptive shares, time."""
    yield from _peeking()
    yield from _power()
    yield from _intervals()
    yield from _split()
    yield from _past()
    yield from _guardrails()
    yield from _units()
    yield from _adaptive()
    yield from _bias()
    yield _milliseconds()


def _rate(
    name: str, hits: float, n: int, goal: str | None, method: str, baseline: str = "", beside: float | None = None
) -> Figure:
    low, high = wilson_interval(hits * n, n)
    return Figure(
        benchmark=BENCHMARK,
        name=f"experiments: {name}",
        value=hits,
        unit="share",
        method=method,
        n=n,
        low=low,
        high=high,
        goal=goal,
        baseline=baseline or None,
        baseline_value=beside,
    )


def _mean(name: str, values: Array, unit: str, goal: str, method: str, baseline: str, beside: float) -> Figure:
    """A mean over worlds with its 90 % interval."""
    spread = 1.645 * float(values.std(ddof=1)) / np.sqrt(values.size)
    middle = float(values.mean())
    return Figure(
        benchmark=BENCHMARK,
        name=f"experiments: {name}",
        value=middle,
        unit=unit,
        method=method,
        n=values.size,
        low=middle - spread,
        high=middle + spread,
        goal=goal,
        baseline=baseline,
        baseline_value=beside,
    )


def _bernoulli(rate: float, rng: np.random.Generator, size: tuple[int, int]) -> Array:
    return (rng.random(size) < rate).astype(float)


def _lognormal(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    return np.asarray(np.exp(rng.normal(0, 0.8, size)))


def _peeking() -> Iterator[Figure]:
    kinds: Sequence[tuple[str, Draw, bool]] = (
        ("rate .5", partial(_bernoulli, 0.5), True),
        ("rate .02", partial(_bernoulli, 0.02), True),
        ("skewed latency", _lognormal, False),
    )
    for seed, (kind, draw, rate) in enumerate(kinds):
        rng = np.random.default_rng(seed)
        units = 30 * PER_DAY
        a, b = draw(rng, (WORLDS, units)), draw(rng, (WORLDS, units))
        for often, looks in (("30 daily looks", daily(PER_DAY)), ("a look after every unit", np.arange(1, units + 1))):
            found: Peeked = peek(a, b, looks, rate=rate)
            yield _rate(
                f"A/A decided, {kind}, {often}",
                found.sequence,
                WORLDS,
                "<= 0.05",
                f"asymptotic confidence sequence, {units:,} units an arm; mSPRT at an effect of .05: {found.msprt:.3f}",
                "z-test at 5 % at each look",
                found.naive,
            )


def _power() -> Iterator[Figure]:
    planned = sample_size(0.05, spread_of_rate(0.525))
    arm = planned.horizon // 2
    rng = np.random.default_rng(11)
    a, b = _bernoulli(0.5, rng, (WORLDS, arm)), _bernoulli(0.55, rng, (WORLDS, arm))
    looks = np.linspace(arm / 30, arm, 30).astype(int)
    found = peek(a, b, looks, effect=0.05, planned=planned.horizon, rate=True)
    yield _rate(
        "power at the planned effect (.50 to .55), 30 daily looks",
        found.sequence,
        WORLDS,
        ">= 0.80",
        f"horizon of {planned.horizon:,} units by `liftos llm experiment plan`; a single look would need "
        f"{planned.single_look:,}; {2 * found.looks_used:,.0f} used on average",
        "mSPRT with the planned effect as its prior",
        found.msprt,
    )
    yield _rate(
        "sequence holds the truth at all 30 looks",
        1 - found.missed,
        WORLDS,
        ">= 0.95",
        "the same worlds",
    )


def _intervals() -> Iterator[Figure]:
    rng = np.random.default_rng(12)
    held = 0
    for _ in range(WORLDS):
        true = rng.beta(20, 20, 2)
        hits = rng.binomial(300, true)
        found = of_rates(hits[0], 300, hits[1], 300)
        held += found.low <= true[1] - true[0] <= found.high
    yield _rate("90 % posterior interval of a rate holds the truth", held / WORLDS, WORLDS, "0.88 to 0.92",
                "true rates drawn from Beta(20, 20), 300 units an arm")  # fmt: skip


def _split() -> Iterator[Figure]:
    even, chi_even = split_paths(WORLDS, 10_000, 0.5, 13)
    yield _rate("even split called broken, looked at a thousand times in 10,000 units",
                float((even.max(axis=1) > np.log(1 / SRM_ALPHA)).mean()), WORLDS, f"<= {SRM_ALPHA}",
                "Dirichlet-multinomial Bayes factor", "chi-square test at 1 % at each look",
                float((chi_even[:, 4:] < SRM_ALPHA).any(axis=1).mean()))  # fmt: skip
    uneven, chi = split_paths(WORLDS, 10_000, 0.52, 14)
    yield _rate("52/48 found by 10,000 units", float((uneven.max(axis=1) > np.log(1 / SRM_ALPHA)).mean()), WORLDS, None,
                "the same, drawn at .52; an exact 5,200 to 4,800 has p .002",
                "one chi-square look at the end at .001, the usual threshold",
                float((chi[:, -1] < 0.001).mean()))  # fmt: skip


def _past() -> Iterator[Figure]:
    n = 500
    worlds = [correlated_past(400, 0.7, 0.2, seed) for seed in range(n)]
    adjusted, plain = [difference(one) for one in worlds], [difference(one, adjust=False) for one in worlds]
    estimates, before = (np.array([one.estimate for one in each]) for each in (adjusted, plain))
    yield Figure(
        benchmark=BENCHMARK,
        name="experiments: variance removed by the unit's past (correlation .7)",
        value=float(1 - estimates.var() / before.var()),
        unit="share",
        method=f"400 units; as reported {np.mean([one.variance_removed or 0 for one in adjusted]):.3f}, by theory .49",
        n=n,
        goal="about 0.49",
        baseline="without covariates",
        baseline_value=0.0,
    )
    yield _mean(
        "bias of the adjusted estimate (effect .2)",
        estimates - 0.2,
        "standard deviations",
        "0",
        "the same worlds",
        "without covariates",
        float(before.mean() - 0.2),
    )
    yield _rate("90 % interval of the adjusted estimate holds the truth",
                float(np.mean([abs(one.estimate - 0.2) <= 1.645 * one.error for one in adjusted])), n, "0.88 to 0.92",
                "the same worlds")  # fmt: skip


def _broken(metric: str, a: Array, b: Array) -> tuple[float, float, float]:
    """Shares of worlds in which the guardrail is ever broken, ever cleared, and broken by a one-sided z-test."""
    broken = cleared = naive = 0
    rule = METRIC[metric]
    for own_a, own_b in zip(a, b, strict=True):
        said = set()
        loud = False
        for n in daily(PER_DAY)[::2]:
            seen_a, seen_b = own_a[:n], own_b[:n]
            said.add(guard_mean(from_arrays(seen_a, seen_b), rule, alpha=0.05).status)
            scale, allowed = (1 + rule.margin, 0.0) if rule.relative else (1.0, rule.margin)
            error = np.sqrt(seen_b.var(ddof=1) / n + scale**2 * seen_a.var(ddof=1) / n)
            loud |= bool(seen_b.mean() - scale * seen_a.mean() - allowed > 1.645 * error > 0)
        broken += "broken" in said
        cleared += "cleared" in said
        naive += loud
    return broken / len(a), cleared / len(a), naive / len(a)


def _guardrails() -> Iterator[Figure]:
    rng, n = np.random.default_rng(15), 200
    size = (n, 30 * PER_DAY)
    latency = 100 * np.exp(rng.normal(0, 0.5, size))
    method = "15 looks at up to 1,800 units an arm, one guardrail"
    broken, _, naive = _broken("latency_ms", latency, 120 * np.exp(rng.normal(0, 0.5, size)))
    control = "one-sided z-test at 5 % at each look"
    yield _rate(
        "false rollback, mean latency worse by just the margin (20 %)", broken, n, "<= 0.05", method, control, naive
    )
    broken, cleared, _ = _broken("latency_ms", latency, 130 * np.exp(rng.normal(0, 0.5, size)))
    yield _rate("rollback found, mean latency worse by 30 %", broken, n, ">= 0.80", method)
    _, cleared, _ = _broken("latency_ms", latency, 100 * np.exp(rng.normal(0, 0.5, size)))
    yield _rate("guardrail cleared, mean latency the same", cleared, n, ">= 0.80", method)
    few = (150, 30 * PER_DAY)
    broken, _, naive = _broken("error", _bernoulli(0.05, rng, few), _bernoulli(0.06, rng, few))
    yield _rate(
        "false rollback, errors up by just the margin (.05 to .06)", broken, few[0], "<= 0.05", method, control, naive
    )
    broken, _, _ = _broken("error", _bernoulli(0.05, rng, few), _bernoulli(0.10, rng, few))
    yield _rate("rollback found, errors .05 to .10", broken, few[0], ">= 0.80", method)
    yield from _tail(rng, n)


def _tail(rng: np.random.Generator, n: int) -> Iterator[Figure]:
    for name, factor, goal in (("false rollback, p95 latency worse by just the margin (20 %)", 1.2, "<= 0.05"),
                               ("rollback found, p95 latency worse by 50 %", 1.5, ">= 0.80")):  # fmt: skip
        broken = 0
        for _ in range(n):
            a, b = 100 * np.exp(rng.normal(0, 0.5, 1800)), 100 * factor * np.exp(rng.normal(0, 0.5, 1800))
            for seen in daily(PER_DAY)[::3]:
                _, _, most = quantile_sequence(a[:seen], 0.95, alpha=0.05)
                _, least, _ = quantile_sequence(b[:seen], 0.95, alpha=0.05)
                if least > 1.2 * most:
                    broken += 1
                    break
        yield _rate(name, broken / n, n, goal, "beta-binomial quantile sequences of both arms, 10 looks")


def _units() -> Iterator[Figure]:
    n, ours, naive = 500, 0, 0
    for seed in range(n):
        values, b = clustered(200, 10, seed)
        unit = np.repeat(np.arange(200), 10).reshape(200, 10)
        in_b = b.astype(bool)
        own = from_arrays(values[~in_b].ravel(), values[in_b].ravel(), unit[~in_b].ravel(), unit[in_b].ravel())
        estimate, error, _ = error_of(own)
        ours += abs(estimate) > 1.645 * error
        estimate, error, _ = error_of(from_arrays(values[~in_b].ravel(), values[in_b].ravel()))
        naive += abs(estimate) > 1.645 * error
    yield _rate("truth outside the interval, ten calls a unit", ours / n, n, "0.08 to 0.12",
                "200 units, half of the variance between them",
                "calls as if independent", naive / n)  # fmt: skip


def _adaptive() -> Iterator[Figure]:
    n, plain = 200, "plain means"
    for rates in ((0.5, 0.5), (0.5, 0.55), (0.1, 0.1)):
        worlds = [adapted(rates, seed) for seed in range(n)]
        about = f"Thompson, rates {rates[0]} and {rates[1]}"
        method = "inverse propensities, doubly robust; 30 batches of 100 units, floor 10 %"
        missed, held = (float(np.mean([getattr(one, name) for one in worlds])) for name in ("missed", "held"))
        beside = float(np.mean([one.plain_held for one in worlds]))
        yield _rate(f"sequence ever misses the truth, {about}", missed, n, "<= 0.05", method)
        yield _rate(f"90 % interval holds the truth, {about}", held, n, "0.86 to 0.96", "at the end", plain, beside)
        if rates[0] != rates[1]:
            lost, even = np.array([one.regret for one in worlds]), 1500 * abs(rates[1] - rates[0])
            name = f"good answers lost of 3,000, {about}"
            goal, method = "less than an even split", "against always asking the better arm"
            yield _mean(name, lost, "calls", goal, method, "even split", even)


def _bias() -> Iterator[Figure]:
    """On worlds of their own: a bias is small beside what one world may err by."""
    weighted, plain = [], []
    for seed in range(10_000, 10_600):
        units = thompson((0.5, 0.55), seed)
        weighted.append(weighted_difference(units).estimate - 0.05)
        a, b = (float(units.outcomes[units.arms == arm].mean()) for arm in (0, 1))
        plain.append(b - a - 0.05)
    name = "bias at the end, Thompson, rates 0.5 and 0.55"
    method = "inverse propensities, doubly robust"
    yield _mean(name, np.array(weighted), "of a rate", "0", method, "plain means", float(np.mean(plain)))


def _milliseconds() -> Figure:
    rng = np.random.default_rng(17)
    taken = []
    for _ in range(50):
        a, b = _bernoulli(0.5, rng, (1, 5000))[0], _bernoulli(0.5, rng, (1, 5000))[0]
        began = time.perf_counter()
        compare(a, b, METRIC["feedback_positive"])
        taken.append((time.perf_counter() - began) * 1000)
    return Figure(
        benchmark=BENCHMARK,
        name="experiments: one comparison of 10,000 units, median",
        unit="ms",
        value=float(np.median(taken)),
        method="difference, posterior, expected loss, sequence",
        n=50,
    )
