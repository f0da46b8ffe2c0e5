"""Whether a version should go on towards live, stay, or be taken back: sequential tests against the version before it.

Success, violations and cost are each compared by an asymptotic confidence sequence (Waudby-Smith et al., 2021), which
may be looked at after every run. A version is taken back when any of the three is shown to be worse, and goes on when
success is shown to be no worse than a margin and violations and cost are shown to stay within theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from liftos_pipelines.modules.agentic.lifecycle import (
    CANARY,
    LIVE,
    NEXT,
    SHADOW,
    SUSPENDED,
    Key,
    Move,
)
from liftos_pipelines.stats import anytime_half_width
from liftos_pipelines.tables import table

MIN_RUNS = 20
"""Runs with a known outcome that each version needs before it is compared."""
ALPHA = 0.05
PLANNED_RUNS = 200.0
SHARES = {"success": 0.5, "violations": 0.25, "cost": 0.25}
"""How the chance of a wrong rollback is shared: any of the three may cause one."""
SUCCESS_MARGIN = 0.05
"""A version that succeeds less often by no more than this may go on."""
VIOLATION_MARGIN = 0.10
"""Runs with a violation may rise by no more than this; each one stops its agent by itself already."""
COST_MARGIN = 0.25
"""The mean cost of a run may rise by no more than this part of the old one."""
AUTOMATIC = (SHADOW, CANARY, LIVE)
"""Stages that the tests decide about; out of the others only a person moves a version."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a version's runs say: successes of n known outcomes, runs with a violation of all runs, and their cost.

    `*_variance` is that of the rate or mean, from clusters of tries of one task where there are any; None: independent
    """

    successes: int
    outcomes: int
    violating: int
    runs: int
    cost_mean: float | None = None
    cost_variance: float | None = None
    costs: int = 0
    success_variance: float | None = None
    violation_variance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """New minus old, and half the width of its 95 % sequence (`half`), of the sequence that bounds one side at 95 %
    (`one_side`, for going on) and of the one with this test's share of a wrong rollback (`strict_half`)."""

    value: float
    half: float
    one_side: float
    strict_half: float

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`decision` is promote, hold, rollback or insufficient_evidence; `to_stage` where the version should go."""

    decision: str
    evidence: str
    to_stage: str | None = None
    success: Difference | None = None
    violations: Difference | None = None
    cost: Difference | None = None
    """In units of the old version's mean cost."""


def decide(old: Record, new: Record, stage: str = CANARY) -> Verdict:
    """What the evidence says of a version at a stage, in words and numbers."""
    if stage not in AUTOMATIC:
        return Verdict(decision="hold", evidence=f"it is {stage}; only a person moves it from there")
    if min(old.outcomes, new.outcomes) < MIN_RUNS:
        return Verdict(
            decision="insufficient_evidence",
            evidence=(
                f"{new.outcomes} outcomes of the new version, {old.outcomes} of the old; {MIN_RUNS} of each are needed"
            ),
        )
    success = _rates(
        (old.successes, old.outcomes, old.success_variance),
        (new.successes, new.outcomes, new.success_variance),
        "success",
    )
    violations = _rates(
        (old.violating, old.runs, old.violation_variance),
        (new.violating, new.runs, new.violation_variance),
        "violations",
    )
    cost = _cost(old, new)
    told = (
        f"success {new.successes}/{new.outcomes} against {old.successes}/{old.outcomes}: {_say(success)}; "
        f"runs with a violation {new.violating}/{new.runs} against {old.violating}/{old.runs}: {_say(violations)}; "
        + (f"mean cost {_say(cost)} of the old" if cost else "cost unknown")
    )

    def verdict(decision: str, why: str, to_stage: str | None = None) -> Verdict:
        return Verdict(
            decision=decision,
            evidence=f"{told}; {why}",
            to_stage=to_stage,
            success=success,
            violations=violations,
            cost=cost,
        )

    worse = _worse(success, violations, cost)
    if worse and stage == SHADOW:
        return verdict("hold", f"{worse}: it stays in the shadow")
    if worse:
        return verdict("rollback", worse, SUSPENDED if worse == "violations rose" else SHADOW)
    if stage == LIVE:
        return verdict("hold", "it is live and nothing is shown to be worse")
    missing = _not_yet_shown(success, violations, cost, old, new)
    if missing:
        return verdict("hold", f"not shown yet: {missing}")
    better = (
        "success rose" if success.value > success.one_side else f"success fell by no more than {SUCCESS_MARGIN:.2f}"
    )
    return verdict("promote", f"{better}, violations and cost within their margins", NEXT[stage])


def rollouts(
    agents: pl.DataFrame,
    runs: pl.DataFrame,
    decisions: pl.DataFrame,
    moves: Mapping[Key, tuple[Move, ...]] | None = None,
) -> pl.DataFrame:
    """The `agentic/rollouts` table: each agent's version against the one it would roll back to.

    The earlier version's runs are those of the same agent, or of an agent of the same type and owner that is
    registered with that version (a canary beside its live twin). A version that was moved is judged by its runs since
    then: what carried it into a stage does not carry it out again.
    """
    contract = table("agentic/rollouts")
    denied = decisions.filter(pl.col("decision") == "deny").select("run_id").unique()
    marked = runs.join(denied.with_columns(pl.lit(True).alias("violating")), on="run_id", how="left")
    rows = []
    columns = ("agent_id", "type", "owner", "version", "stage", "rollback_to")
    for agent_id, kind, owner, version, stage, earlier in agents.select(columns).iter_rows():
        if earlier is None or earlier == version:
            continue
        own = (moves or {}).get((agent_id, version), ())
        since = own[-1].at if own else None
        judged = marked.filter((pl.col("agent_id") == agent_id) & (pl.col("version") == version))
        new = record(judged if since is None else judged.filter(pl.col("started") >= since))
        twins = agents.filter((pl.col("type") == kind) & (pl.col("owner") == owner) & (pl.col("version") == earlier))[
            "agent_id"
        ].to_list()
        old = record(marked.filter((pl.col("version") == earlier) & pl.col("agent_id").is_in([agent_id, *twins])))
        now = own[-1].to_stage if own else stage
        rows.append(_row(agent_id, earlier, version, now, since, len(own), decide(old, new, now), old, new))
    return contract.conform(pl.DataFrame(rows, schema=contract.columns | EXTRA))


NUMBERS = tuple(f"{test}{side}" for test in SHARES for side in ("", "_low", "_high"))
"""Differences with their sequences, as columns."""
EXTRA: dict[str, pl.DataType] = {
    "to_stage": pl.String(),
    "since": pl.Datetime("us", "UTC"),
    "number": pl.Int64(),
    "runs": pl.Int64(),
    "runs_before": pl.Int64(),
    **dict.fromkeys(NUMBERS, pl.Float64()),
}


def _row(
    agent_id: str,
    earlier: str,
    version: str,
    stage: str,
    since: datetime | None,
    number: int,
    verdict: Verdict,
    old: Record,
    new: Record,
) -> dict[str, object]:
    numbers: dict[str, float | None] = {}
    for name, found in (("success", verdict.success), ("violations", verdict.violations), ("cost", verdict.cost)):
        bounds = (None, None, None) if found is None else (found.value, found.low, found.high)
        numbers |= dict(zip((name, f"{name}_low", f"{name}_high"), bounds, strict=True))
    return {
        "agent_id": agent_id,
        "from_version": earlier,
        "to_version": version,
        "stage": stage,
        "decision": verdict.decision,
        "evidence": verdict.evidence,
        "to_stage": verdict.to_stage,
        "since": since,
        "number": number,
        "runs": new.runs,
        "runs_before": old.runs,
        **numbers,
    }


def record(runs: pl.DataFrame) -> Record:
    """What a version's runs say; `runs` has success, cost, task and violating (null: none)."""
    known = runs.drop_nulls("success")
    costs = runs.filter(pl.col("cost").is_not_null() & (pl.col("cost") >= 0))
    spent = costs["cost"].to_numpy()
    violating = runs["violating"].fill_null(False).cast(pl.Float64).to_numpy()
    return Record(
        successes=int(known["success"].sum()),
        outcomes=known.height,
        violating=int(violating.sum()),
        runs=runs.height,
        cost_mean=float(spent.mean()) if spent.size else None,
        cost_variance=clustered_variance(spent, costs["task"].to_numpy()),
        costs=spent.size,
        success_variance=clustered_variance(known["success"].cast(pl.Float64).to_numpy(), known["task"].to_numpy()),
        violation_variance=clustered_variance(violating, runs["task"].to_numpy()),
    )


def clustered_variance(values: np.ndarray, clusters: np.ndarray) -> float | None:
    """Variance of a mean whose values come in clusters (Liang and Zeger, 1986); None with fewer than two."""
    n = values.size
    groups, codes = np.unique(clusters.astype(str), return_inverse=True)
    if n < 2 or groups.size < 2:
        return None
    sums = np.bincount(codes, weights=values - values.mean())
    return float(groups.size / (groups.size - 1) * np.sum(sums**2) / n**2)


def _rates(old: tuple[int, int, float | None], new: tuple[int, int, float | None], test: str) -> Difference:
    """Difference of two rates; both rates are shrunk by one hit and one miss for the variance (Agresti and Caffo,
    2000), so that 0 of n is not certain, and tries of one task widen it."""
    variance = 0.0
    for hits, n, clustered in (old, new):
        shrunk = (hits + 1) / (n + 2)
        variance += max(shrunk * (1 - shrunk) / (n + 2), clustered or 0.0)
    return _difference(new[0] / new[1] - old[0] / old[1], variance, old[1] + new[1], test)


def _cost(old: Record, new: Record) -> Difference | None:
    """Relative rise of the mean cost beyond none; None where a version's cost is not known."""
    if old.cost_mean is None or new.cost_mean is None or min(old.costs, new.costs) < MIN_RUNS or old.cost_mean <= 0:
        return None
    if old.cost_variance is None or new.cost_variance is None:
        return None
    # The old mean stands on both sides of the margin, so its error counts by one and the margin.
    variance = new.cost_variance + (1 + COST_MARGIN) ** 2 * old.cost_variance
    return _difference(new.cost_mean / old.cost_mean - 1, variance / old.cost_mean**2, old.costs + new.costs, "cost")


def _difference(value: float, variance: float, units: int, test: str) -> Difference:
    error = float(np.sqrt(variance))

    def half(alpha: float) -> float:
        return anytime_half_width(error, units, alpha=alpha, planned_units=PLANNED_RUNS)

    # Every test looks to one side, which a two-sided sequence of twice the chance bounds. To go on, all three must
    # hold, so each may use the whole chance (Berger, 1982); a rollback is any of three, so they share it.
    return Difference(
        value=value, half=half(ALPHA), one_side=half(2 * ALPHA), strict_half=half(2 * ALPHA * SHARES[test])
    )


def _worse(success: Difference, violations: Difference, cost: Difference | None) -> str | None:
    if violations.value - violations.strict_half > 0:
        return "violations rose"
    if success.value + success.strict_half < 0:
        return "success fell"
    if cost is not None and cost.value - cost.strict_half > COST_MARGIN:
        return f"cost rose by more than {COST_MARGIN:.0%}"
    return None


def _not_yet_shown(
    success: Difference, violations: Difference, cost: Difference | None, old: Record, new: Record
) -> str:
    parts = []
    if success.value - success.one_side <= -SUCCESS_MARGIN:
        parts.append(f"that success fell by no more than {SUCCESS_MARGIN:.2f}")
    if violations.value + violations.one_side >= VIOLATION_MARGIN:
        parts.append(f"that violations rose by no more than {VIOLATION_MARGIN:.2f}")
    if cost is not None and cost.value + cost.one_side >= COST_MARGIN:
        parts.append(f"that cost rose by no more than {COST_MARGIN:.0%}")
    if cost is None and old.costs >= MIN_RUNS:
        parts.append("what the new version costs")
    return "; ".join(parts)


def _say(difference: Difference) -> str:
    return f"{difference.value:+.3f} (95 % sequence {difference.low:+.3f} to {difference.high:+.3f})"
