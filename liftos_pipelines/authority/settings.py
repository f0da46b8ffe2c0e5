"""How long the gate's promises last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from liftos_pipelines.spine.budgets import RESERVED_FOR
from liftos_pipelines.spine.leases import LEASED_FOR, REMEMBERED


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """`reserved_for` is how long a call may take before its money is given back, `leased_for` how long it may keep its
    targets without confirming; `four_eyes` bars who asked and who owns the agent also where one person's word is
    enough (of several people it always does)."""

    reserved_for: timedelta = RESERVED_FOR
    leased_for: timedelta = LEASED_FOR
    remembered: timedelta = REMEMBERED
    four_eyes: bool = False
