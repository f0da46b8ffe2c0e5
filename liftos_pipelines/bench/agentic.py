"""Lift Agentic's figures: policy, the gate, the ledger, and what is said of agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liftos_pipelines.bench import agentic_authority, agentic_evaluation, agentic_ledger, agentic_policy
from liftos_pipelines.bench.figure import Figure, parts


def measure(data: Path) -> Iterator[Figure]:
    """Every part in turn."""
    return parts("agentic", (agentic_policy, agentic_authority, agentic_ledger, agentic_evaluation), data)
