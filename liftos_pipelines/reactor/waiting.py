"""Which waiting run comes next: reactions before batch, then by priority, then by arrival; a client's runs in turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, kw_only=True)
class WaitingRun:
    run_id: str
    arguments: str
    client: str | None
    priority: int
    reaction: str | None
    number: int = field(default=0)


class Waiting:
    """The runs that wait for a worker, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._runs: list[WaitingRun] = []
        self._count = count(1)

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return any(run.run_id == run_id for run in self._runs)

    @property
    def runs(self) -> list[WaitingRun]:
        return sorted(self._runs, key=lambda run: (run.reaction is None, -run.priority, run.number))

    def add(self, message: Mapping[str, object]) -> bool:
        """Take a run in; False when there is no room."""
        if len(self._runs) >= self.limit:
            return False
        client, reaction = message.get("client"), message.get("reaction")
        priority = message.get("priority")
        self._runs.append(
            WaitingRun(
                run_id=str(message["run_id"]),
                arguments=str(message["arguments"]),
                client=None if client is None else str(client),
                priority=priority if isinstance(priority, int) else 0,
                reaction=None if reaction is None else str(reaction),
                number=next(self._count),
            )
        )
        return True

    def remove(self, run_id: str) -> WaitingRun | None:
        """Take a run out because it was canceled; None when it does not wait."""
        for run in self._runs:
            if run.run_id == run_id:
                self._runs.remove(run)
                return run
        return None

    def next(self, *, busy: Iterable[str], of_a_client: int) -> WaitingRun | None:
        """Take out the run that a free worker should execute.

        Parameters
        ----------
        busy : clients whose batch runs are under way, one entry a run
        of_a_client : how many of them a client may have side by side
        """
        at_work = list(busy)
        for run in self.runs:
            # Reactions do not wait for a batch of their client: tables are locked one by one.
            if run.reaction is None and run.client is not None and at_work.count(run.client) >= of_a_client:
                continue
            self._runs.remove(run)
            return run
        return None
