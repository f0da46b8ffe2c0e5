"""What an experiment was meant to be: arms and their shares, the metric that decides, margins, and when it ends."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import polars as pl

from liftos_pipelines.modules.llm.experiments.measured import GUARDS_UNPLANNED, METRICS, Metric

CONTROL_NAMES = ("control", "a", "baseline", "production", "current", "old")
EXPLORATION_FLOOR = 0.1


class PlanError(ValueError):
    """A plan that cannot be followed; the message names the experiment, the field and the fix."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A metric that must not become worse by more than its margin; a planned one must be shown not to."""

    metric: Metric
    planned: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One experiment. `shares` holds the arms in order, the control first; empty: read from the calls.

    Raises
    ------
    PlanError : an unknown metric, a floor that the arms cannot all have, a margin or share that is not positive
    """

    experiment: str
    prompt: str
    by: Literal["variant", "prompt_version"] = "variant"
    shares: dict[str, float] = field(default_factory=dict)
    primary: str | None = None
    minimal_effect: float | None = None
    guardrails: dict[str, tuple[float, bool | None]] = field(default_factory=dict)
    """Margin, and whether it is a share of the control's; None: as the metric has it."""
    start: datetime | None = None
    horizon_units: int | None = None
    horizon_days: int | None = None
    allocation: Literal["fixed", "thompson"] = "fixed"
    exploration_floor: float | None = None
    covariates: bool = True
    planned: bool = True

    def __post_init__(self) -> None:
        place = f"llm.experiments.{self.experiment}"
        for what, name in [("primary", self.primary), *(("guardrails", name) for name in self.guardrails)]:
            if name is not None:
                _metric(name, f"{place}.{what}")
        if self.primary is not None and _metric(self.primary, place).kind == "quantile":
            raise PlanError(f"{place}.primary: {self.primary} can only guard; name a rate or a mean")
        for name, share in self.shares.items():
            if not share > 0:
                raise PlanError(f"{place}.split.{name}: a share of {share}; it must be positive")
        for name, (margin, _) in self.guardrails.items():
            if not margin > 0:
                raise PlanError(f"{place}.guardrails.{name}.margin: {margin}; it must be positive")
        total = sum(self.shares.values())
        if any(share < 1 for share in self.shares.values()) and abs(total - 1) > 1e-6:
            raise PlanError(
                f"{place}.split: the shares sum to {total:g}; make it 1, or give whole weights such as 9 and 1"
            )
        if len(self.shares) == 1:
            raise PlanError(f"{place}.split: one arm; name the control first, then the others")
        if self.exploration_floor is not None and self.exploration_floor * len(self.shares) > 1:
            raise PlanError(
                f"{place}.exploration_floor: {len(self.shares)} arms cannot all have {self.exploration_floor}; "
                f"at most {1 / len(self.shares):.2f}"
            )

    def floor(self, arms: int) -> float:
        """Least share of an arm under Thompson allocation; half an equal share where ten per cent is too much."""
        return self.exploration_floor if self.exploration_floor is not None else min(EXPLORATION_FLOOR, 0.5 / arms)

    def share_of(self, arms: list[str]) -> list[float] | None:
        """Planned shares among some arms; equal for variants that nobody planned, unknown for prompt versions."""
        if self.shares:
            total = sum(self.shares[arm] for arm in arms)
            return [self.shares[arm] / total for arm in arms]
        return [1 / len(arms)] * len(arms) if self.by == "variant" else None

    def primary_metric(self, measured: list[Metric]) -> Metric | None:
        if self.primary is not None:
            return _metric(self.primary, self.experiment)
        return next((metric for metric in measured if metric.kind != "quantile"), None)

    def guards(self, measured: list[Metric]) -> list[Guard]:
        """The metrics that guard the primary one: those planned, else the usual ones that are measured."""
        if self.guardrails:
            found = []
            for name, (margin, relative) in self.guardrails.items():
                metric = _metric(name, self.experiment)
                own = metric.relative if relative is None else relative
                found.append(Guard(metric=replace(metric, margin=margin, relative=own), planned=True))
            return found
        return [Guard(metric=metric, planned=False) for metric in measured if metric.name in GUARDS_UNPLANNED]


def all_plans(calls: pl.DataFrame, planned: list[Plan]) -> list[Plan]:
    """The planned experiments, then one for each prompt with several arms that none of them is about."""
    told = {plan.prompt for plan in planned}
    found = list(planned)
    for (prompt,), group in calls.group_by("prompt_name", maintain_order=True):
        if prompt is None or prompt in told:
            continue
        for by in ("variant", "prompt_version"):
            if group[by].drop_nulls().n_unique() >= 2:
                found.append(Plan(experiment=str(prompt), prompt=str(prompt), by=by, planned=False))  # type: ignore[arg-type]
                break
    return found


def arms_of(plan: Plan, calls: pl.DataFrame) -> list[str]:
    """The arms, control first: as planned, else by a usual name, else the one that sorts or was called first."""
    if plan.shares:
        return list(plan.shares)
    seen = calls.get_column(plan.by).drop_nulls().unique(maintain_order=True).to_list()
    if plan.by == "variant":
        seen = sorted(seen)
    if not seen:
        return []
    control = next((arm for name in CONTROL_NAMES for arm in seen if arm.lower() == name), seen[0])
    return [control, *(arm for arm in seen if arm != control)]


def _metric(name: str, place: str) -> Metric:
    known = {metric.name: metric for metric in METRICS}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f' (closest: "{close[0]}")' if close else ""
        raise PlanError(f'{place}: there is no metric "{name}"{hint}; use one of {", ".join(known)}')
    return known[name]
