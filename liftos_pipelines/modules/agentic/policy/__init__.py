"""Policies as data: read into typed rules, refused where they are wrong, named by the hash of their content.

Rules are combined by one law: a deny beats a required approval, which beats an allow; what no rule decides needs
approval when the tool is known, and is denied when it is not.
"""

from liftos_pipelines.modules.agentic.facts import ApprovalNeed, Budget, Decision, Draw
from liftos_pipelines.modules.agentic.policy.model import (
    BUDGET_PERIODS,
    STAGES,
    STRENGTH,
    Authority,
    Policy,
    PolicyError,
    Rule,
)
from liftos_pipelines.modules.agentic.policy.parse import content_hash, parse_policy

__all__ = [
    "BUDGET_PERIODS",
    "STAGES",
    "STRENGTH",
    "ApprovalNeed",
    "Authority",
    "Budget",
    "Decision",
    "Draw",
    "Policy",
    "PolicyError",
    "Rule",
    "content_hash",
    "parse_policy",
]
