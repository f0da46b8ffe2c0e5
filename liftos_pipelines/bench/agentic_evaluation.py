"""How agents are evaluated: tau-bench's pass^k, who made a run fail, when a version is moved, injections, readiness.

Failure attribution was chosen and fitted on Who&When's algorithm-generated part; each of its runs is judged here by
weights that never saw its question. Any other part found beside it is judged by the packaged weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from liftos_pipelines.bench import tau_bench, who_and_when
from liftos_pipelines.bench.figure import Figure, NoData, unmeasured
from liftos_pipelines.modules.agentic.attribution import AttributionModel, FloatArray
from liftos_pipelines.modules.agentic.attribution_fit import Failure, Judged, cross_validate, judge
from liftos_pipelines.modules.agentic.evidence import pass_hat_k, readiness, runs_of, success_rate
from liftos_pipelines.modules.agentic.injection_resistance import injected_runs
from liftos_pipelines.modules.agentic.rollouts import ALPHA, Record, decide
from liftos_pipelines.modules.agentic.tool_calls import calls_of, expected_calls
from liftos_pipelines.simulate import injected_runs as simulated
from liftos_pipelines.stats import percentile_interval, wilson_interval
from liftos_pipelines.tables import table

NAME, SEED, REPLICATES = "agentic", 7, 2000
PUBLISHED = (0.420, 0.273, 0.220, 0.200)
LEARNED_FROM = "algorithm_generated"
WORLDS, MOST_RUNS, LOOK_EVERY = 400, 400, 5
WRITES = (
    "book_reservation", "cancel_reservation", "update_reservation_flights", "update_reservation_baggages",
    "update_reservation_passengers", "send_certificate",
)  # fmt: skip


def measure(data: Path) -> Iterator[Figure]:
    """Every figure in turn; what lacks its data says so."""
    for part in (_tau_bench, _attribution):
        try:
            yield from part(data)
        except NoData as absent:
            yield unmeasured(NAME, part.__name__.strip("_").replace("_", "-"), "", str(absent))
    yield from _rollouts()
    yield from _injections()
    yield from _readiness()


def _tau_bench(data: Path) -> Iterator[Figure]:
    steps = tau_bench.airline_steps(tau_bench.airline_file(data))
    runs = runs_of(steps, table("sources/agents").empty())
    method = "recomputed from the 200 recorded runs, 50 tasks"
    for k, (value, published) in enumerate(zip(pass_hat_k(runs), PUBLISHED, strict=False), start=1):
        _, low, high = success_rate(runs) if k == 1 else (None, None, None)
        yield Figure(
            benchmark=NAME,
            name=f"tau-bench airline pass^{k}",
            value=value,
            unit="",
            method=method,
            n=200,
            low=low,
            high=high,
            goal=f"{published:.3f}",
            baseline="published",
            baseline_value=published,
        )
    calls = calls_of(steps, lambda agent, tool: None)
    failing, low, high = success_rate(
        calls.drop_nulls("error").select(pl.col("error").alias("success"), pl.col("run_id").alias("task"))
    )
    yield Figure(
        benchmark=NAME,
        name="tau-bench calls with an error result",
        value=failing,
        unit="",
        method="result begins as an error; interval by run",
        n=calls.height,
        low=low,
        high=high,
    )
    wanted = expected_calls(steps, lambda tool: tool in WRITES).join(runs.select("run_id", "success"), on="run_id")
    for success, words in ((True, "successful"), (False, "failed")):
        told = wanted.filter((pl.col("success") == success) & (pl.col("expected") > 0))
        made = float((told["exact"] == told["expected"]).mean() or 0.0)  # type: ignore[arg-type]
        low, high = wilson_interval(made * told.height, told.height)
        yield Figure(
            benchmark=NAME,
            name=f"tau-bench {words} runs that made every expected call",
            value=made,
            unit="",
            method="name and arguments equal to the task's actions",
            n=told.height,
            low=low,
            high=high,
        )


def _attribution(data: Path) -> Iterator[Figure]:
    from liftos_pipelines.resources.attribution_weights import packaged_model

    folder = data / "agentic" / "who_and_when"
    parts = sorted(each for each in folder.glob("*") if each.is_dir())
    if not parts:
        raise NoData(f"{folder} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    for part in parts:
        failures = who_and_when.failures(part)
        if part.name == LEARNED_FROM:
            judged, how = cross_validate(failures), "weights that never saw the question"
        else:
            judged, how = _judged_by(failures, packaged_model()), "packaged weights, never fitted to this part"
        yield from _attributed(part.name.replace("_", "-").lower(), failures, judged, how)


def _judged_by(failures: Sequence[Failure], model: AttributionModel) -> list[Judged]:
    return [judge(failure, model) for failure in failures]


def _attributed(part: str, failures: Sequence[Failure], judged: Sequence[Judged], how: str) -> Iterator[Figure]:
    agent = np.array([each.agent_right for each in judged], dtype=float)
    step = np.array([each.step_right for each in judged], dtype=float)
    agents = {
        name: np.array([control(f) == f.agent for f in failures], dtype=float) for name, control in CONTROLS.items()
    }
    everywhere = [f.agent for f in failures]
    fixed = Counter(everywhere).most_common(1)[0][0]
    agents["the agent most often at fault (known afterwards)"] = np.array([a == fixed for a in everywhere], dtype=float)
    places = {
        f"step {k} of those that can be at fault": np.array([_place(f, k) == f.step for f in failures], dtype=float)
        for k in range(3)
    } | {"the last step": np.array([_place(f, -1) == f.step for f in failures], dtype=float)}
    for what, right, controls in (("agent", agent, agents), ("step", step, places)):
        best = max(controls, key=lambda name: float(controls[name].mean()))
        low, high = percentile_interval(_resampled(right))
        yield Figure(
            benchmark=NAME,
            name=f"Who&When {part}: {what} at fault",
            value=float(right.mean()),
            unit="",
            method=f"{how}; best published of an LLM judge: 53.5 % agent, 14.2 % step",
            n=right.size,
            low=low,
            high=high,
            goal="above the controls",
            baseline=best,
            baseline_value=float(controls[best].mean()),
        )
        for control in dict.fromkeys((MOST_TALKATIVE, best) if what == "agent" else (best,)):
            better = right - controls[control]
            low, high = percentile_interval(_resampled(better))
            yield Figure(
                benchmark=NAME,
                name=f"Who&When {part}: {what}, better than {control}",
                value=float(better.mean()),
                unit="",
                method="difference on the same runs, bootstrap over runs",
                n=right.size,
                low=low,
                high=high,
                goal="> 0",
            )


def _resampled(values: FloatArray) -> FloatArray:
    drawn = np.random.default_rng(SEED).integers(0, values.size, size=(REPLICATES, values.size))
    return np.asarray(values[drawn].mean(axis=1))


def _most(counted: Counter[str]) -> str:
    return counted.most_common(1)[0][0]


MOST_TALKATIVE = "the most talkative agent"
CONTROLS: dict[str, Callable[[Failure], str]] = {
    MOST_TALKATIVE: lambda f: _most(Counter(turn.agent for turn in f.turns)),
    "the most talkative agent that is no environment": lambda f: _most(
        Counter(f.turns[i].agent for i in f.measured[0])
    ),
    "the agent with the most text": lambda f: _most(_letters(f)),
    "the first agent": lambda f: f.turns[f.measured[0][0]].agent,
    "the last agent": lambda f: f.turns[f.measured[0][-1]].agent,
}


def _letters(failure: Failure) -> Counter[str]:
    counted: Counter[str] = Counter()
    for turn in failure.turns:
        counted[turn.agent] += len(turn.text)
    return counted


def _place(failure: Failure, k: int) -> int:
    open_to = failure.measured[0]
    return failure.turns[open_to[k if k < len(open_to) else -1]].step


def _rollouts() -> Iterator[Figure]:
    usual = {"violations": (0.02, 0.02), "costs": (1.0, 1.0)}
    equal = _moved(success=(0.8, 0.8), **usual, stage="live", seed=1)
    naive = _naive(0.8, seed=1)
    yield _share("wrong rollback of an equal version", [found == "rollback" for found, _ in equal], "<= 0.05", naive)
    rare = _moved(success=(0.95, 0.95), violations=(0.005, 0.005), costs=(1.0, 1.0), stage="live", seed=2)
    yield _share("wrong rollback, success .95, violations .005", [found == "rollback" for found, _ in rare], "<= 0.05")
    for name, world in {
        "success 5 points worse": {"success": (0.8, 0.75)} | usual,
        "violations 10 points more": {"success": (0.8, 0.9), "violations": (0.02, 0.12), "costs": (1.0, 1.0)},
        "cost 25 % more": {"success": (0.8, 0.9), "violations": (0.02, 0.02), "costs": (1.0, 1.25)},
    }.items():
        found = _moved(**world, stage="canary", seed=3)
        yield _share(f"wrong promotion, {name}", [decision == "promote" for decision, _ in found], "<= 0.05")
    for name, world, wanted in (
        ("15-point drop of success", {"success": (0.8, 0.65)} | usual, "rollback"),
        (
            "10 points more violations",
            {"success": (0.8, 0.8), "violations": (0.02, 0.12), "costs": (1.0, 1.0)},
            "rollback",
        ),
        ("doubled cost", {"success": (0.8, 0.8), "violations": (0.02, 0.02), "costs": (1.0, 2.0)}, "rollback"),
        ("20 points more success", {"success": (0.6, 0.8)} | usual, "promote"),
        ("no difference", {"success": (0.8, 0.8)} | usual, "promote"),
    ):
        found = _moved(**world, stage="canary", seed=4)
        yield _share(f"{wanted} of a version with {name}", [decision == wanted for decision, _ in found], "")
        needed = [n for decision, n in found if decision == wanted]
        if needed:
            yield Figure(
                benchmark=NAME,
                name=f"runs of each version until {wanted}, {name}",
                value=float(np.median(needed)),
                unit="runs",
                method=f"median where it happened within {MOST_RUNS}; look every {LOOK_EVERY}",
                n=len(needed),
                low=float(np.percentile(needed, 5)),
                high=float(np.percentile(needed, 95)),
            )


def _share(name: str, hits: Sequence[bool], goal: str, naive: float | None = None) -> Figure:
    low, high = wilson_interval(sum(hits), len(hits))
    return Figure(
        benchmark=NAME,
        name=name,
        value=float(np.mean(hits)),
        unit="",
        method=f"simulated worlds, look every {LOOK_EVERY} runs from 20 to {MOST_RUNS}",
        n=len(hits),
        low=low,
        high=high,
        goal=goal or None,
        baseline=None if naive is None else "z-test at each look",
        baseline_value=naive,
    )


Pair = tuple[float, float]


def _moved(*, success: Pair, violations: Pair, costs: Pair, stage: str, seed: int) -> list[tuple[str, int]]:
    """Of each world, the first decision to move the new version and after how many runs of each version."""
    rng = np.random.default_rng(seed)
    return [_world(rng, success, violations, costs, stage) for _ in range(WORLDS)]


def _world(rng: np.random.Generator, success: Pair, violations: Pair, costs: Pair, stage: str) -> tuple[str, int]:
    summed = []
    for p, v, c in zip(success, violations, costs, strict=True):
        # Costs are log-normal with a coefficient of variation near one.
        spent = rng.lognormal(np.log(c) - 0.32, 0.8, MOST_RUNS)
        hits = (rng.random(MOST_RUNS) < p, rng.random(MOST_RUNS) < v, spent, spent**2)
        summed.append([np.cumsum(each) for each in hits])
    for n in range(20, MOST_RUNS + 1, LOOK_EVERY):
        old, new = (_record([float(each[n - 1]) for each in version], n) for version in summed)
        found = decide(old, new, stage).decision
        if found in ("promote", "rollback"):
            return found, n
    return "none", MOST_RUNS


def _record(sums: Sequence[float], n: int) -> Record:
    hits, violating, spent, squared = sums
    return Record(
        successes=int(hits),
        outcomes=n,
        violating=int(violating),
        runs=n,
        cost_mean=spent / n,
        cost_variance=(squared / n - (spent / n) ** 2) / (n - 1),
        costs=n,
    )


def _naive(p: float, seed: int) -> float:
    """Share of equal pairs that a one-sided z-test at each look takes back."""
    rng = np.random.default_rng(seed)
    looks = np.arange(20, MOST_RUNS + 1, LOOK_EVERY)
    old, new = (np.cumsum(rng.random((WORLDS, MOST_RUNS)) < p, axis=1)[:, looks - 1] for _ in range(2))
    pooled = (old + new) / (2 * looks)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * 2 / looks, 1e-12))
    fell = (new - old) / looks / error < -1.6449
    assert ALPHA == 0.05
    return float(fell.any(axis=1).mean())


def _injections() -> Iterator[Figure]:
    from liftos_pipelines.assets.agentic_evaluation import injection_chances

    world = simulated.generate(600, injected=0.5, followed=0.4, seed=SEED)
    found = {
        row["run_id"]: row["followed"] for row in injected_runs(world.steps, injection_chances).iter_rows(named=True)
    }
    followed = [run for run, obeyed in world.truth.items() if obeyed]
    resisted = [run for run, obeyed in world.truth.items() if not obeyed]
    clean = set(world.steps["run_id"].unique().to_list()) - world.truth.keys()
    for name, hits, goal in (
        ("runs that followed an injection, found", [found.get(run) is True for run in followed], ">= 0.80"),
        ("runs that resisted one, called followers", [found.get(run) is True for run in resisted], "<= 0.05"),
        ("clean runs called injected", [run in found for run in clean], "<= 0.05"),
    ):
        low, high = wilson_interval(sum(hits), len(hits))
        yield Figure(
            benchmark=NAME,
            name=name,
            value=float(np.mean(hits)),
            unit="",
            method="generated runs, the packaged screen; a grammar of this project's own",
            n=len(hits),
            low=low,
            high=high,
            goal=goal,
        )


def _readiness() -> Iterator[Figure]:
    rng = np.random.default_rng(SEED)
    truth = rng.uniform(0.3, 0.98, 5000)
    kept = [
        readiness(int(hits), n) <= true  # type: ignore[operator]
        for true, n in zip(truth, rng.integers(5, 100, truth.size).tolist(), strict=True)
        for hits in [rng.binomial(n, true)]
    ]
    low, high = wilson_interval(sum(kept), len(kept))
    yield Figure(
        benchmark=NAME,
        name="readiness exceeded by the true success rate",
        value=float(np.mean(kept)),
        unit="",
        method="5,000 agents with 5 to 99 runs; an agent without runs has none",
        n=len(kept),
        low=low,
        high=high,
        goal="0.95",
    )
