"""A policy as the engine judges by it, and the error that says why a file is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from liftos_pipelines.modules.agentic.facts import (
    ApprovalNeed,
    Budget,
    Call,
    Condition,
    Decision,
    History,
    ToolSpec,
    matches,
)

STRENGTH: dict[str, int] = {"allow": 0, "needs_approval": 1, "deny": 2}
BUDGET_PERIODS = ("run", "day", "month", "total")
BUDGET_SCOPES = ("agent", "tool", "run", "client")
STAGES = ("draft", "review", "shadow", "canary", "live", "suspended", "retired")


class PolicyError(ValueError):
    """A policy cannot be used; each of `problems` names the file, the rule, the field and the fix."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`said` is what the file says under `when`; `inherited` where it comes from a policy that was extended."""

    name: str
    decision: Decision
    condition: Condition
    reason: str
    approval: ApprovalNeed | None = None
    said: object = field(default=None, compare=False, repr=False)
    inherited: bool = False


class Authority(Protocol):
    """Another language's rules beside ours: their decision, the rules' names, and why. None: they say nothing."""

    def decide(
        self, call: Call, history: History
    ) -> tuple[Decision, Sequence[str], Sequence[str], ApprovalNeed | None] | None: ...


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy ready to judge. `version` is the SHA-256 of its canonical content.

    `data_scopes` is `enforce` (an agent with stated scopes touches no others), `require` (one without stated scopes
    touches nothing that is classified) or `ignore`. `warnings` do not keep a policy from being used.
    """

    name: str
    version: str
    tools: Mapping[str, ToolSpec]
    rules: tuple[Rule, ...]
    budget_period: str
    scope_by_capabilities: bool
    data_scopes: str = "enforce"
    budgets: tuple[Budget, ...] = ()
    authority: Authority | None = None
    warnings: tuple[str, ...] = ()

    def spec(self, tool: str) -> ToolSpec | None:
        """What is declared of a tool, by its name or the first glob that matches; None when nothing is."""
        if tool in self.tools:
            return self.tools[tool]
        return next((spec for pattern, spec in self.tools.items() if matches(pattern, tool)), None)
