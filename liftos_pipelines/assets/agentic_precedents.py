"""What memory knows of measured actions in contexts like the one that asks for a decision, cited for the ledger.

A decision names the memories it could have learned from and the pinned version that holds them, so that an auditor
reads exactly what was known then, whatever was written or cleaned up since.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from liftos_pipelines.modules.memory.learning.evidence import OUTCOME_KINDS
from liftos_pipelines.resources.memory_store import MemoryStore

MOST = 3
"""Memories that a decision cites."""
_NUMBERS = re.compile(r"[\d.,+\-]+")


@dataclass(frozen=True)
class Citation:
    """Memories like a context, best first, and the name under which the version that holds them is pinned.

    What they say is not repeated: a ledger entry cannot be changed, and a memory may have to be forgotten.
    """

    memories: tuple[dict[str, Any], ...]
    pin: str | None

    def as_evidence(self) -> dict[str, Any]:
        """For a ledger body: `memories` empty means that memory holds no measured action yet."""
        return {"memories": list(self.memories), "memory_pin": self.pin}


@dataclass
class Precedents:
    """Cites one client's memory for the decisions of one run; contexts that differ in numbers alone share an answer."""

    memory: MemoryStore
    _pin: str | None = None
    _found: dict[str, Citation] = field(default_factory=dict)

    def of(self, context: str) -> Citation:
        """Measured actions in contexts like this one."""
        key = _NUMBERS.sub("#", context)
        if key not in self._found:
            hits = self.memory.recall(context, MOST, kinds=OUTCOME_KINDS)
            cited = tuple(
                {
                    "memory_id": hit.memory_id,
                    "recorded_at": hit.recorded_at.isoformat() if hit.recorded_at else None,
                    "likeness": round(hit.score, 4),
                    "effect": hit.effect,
                    "std_error": hit.std_error,
                }
                for hit in hits
            )
            self._found[key] = Citation(cited, self._pinned() if cited else None)
        return self._found[key]

    def _pinned(self) -> str:
        """The pin of what memory holds now; decisions that rest on one version share it."""
        if self._pin is None:
            self.memory.flush()
            self._pin = f"ledger-v{self.memory.version}"
            self.memory.tag(self._pin)
        return self._pin
