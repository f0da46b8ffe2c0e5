"""What can be set of the reactor: the `config` of `run_launcher` in dagster.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _setting(default: int, description: str) -> int:
    return field(default=default, metadata={"description": description})  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class ReactorSettings:
    """Whole numbers, so that any of them may come from an environment variable."""

    reaction_workers: int = _setting(1, "Warm workers that answer events; 0 leaves events to the sensors")
    batch_workers: int = _setting(1, "Warm workers for all other runs; 0 leaves them to Dagster's own launcher")
    queue: int = _setting(16, "Runs that may wait for a worker; more than these get a process of their own")
    runs_of_a_client: int = _setting(1, "Runs of one client side by side, reactions not counted")
    grace_seconds: int = _setting(20, "Seconds an interrupted run may take to end before its worker is killed")
    worker_runs: int = _setting(2000, "Runs after which a worker is replaced")
    worker_memory_mb: int = _setting(3072, "Resident memory after which a worker is replaced when its run has ended")
    step_timeout_seconds: int = _setting(0, "Seconds one step may take, 0 for no limit; a tag overrides it")
    poll_milliseconds: int = _setting(25, "How often the dispatcher looks for new events")

    @classmethod
    def described(cls) -> list[tuple[str, int, str]]:
        """Name, default and meaning of each setting."""
        return [(each.name, each.default, each.metadata["description"]) for each in fields(cls)]  # type: ignore[misc]
