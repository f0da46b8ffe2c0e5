"""A code location of a few small assets, served by a real reactor in the tests beside it."""

import os
import time
from pathlib import Path

import dagster as dg

from liftos_pipelines.executors import in_process_or_multiprocess
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.sensors.reactions import Reaction

clients = dg.DynamicPartitionsDefinition(name="clients")
REACTION = "tiny/answer"
REACTIONS = (
    Reaction(
        name=REACTION,
        event_types=("sentiment_drop_detected",),
        assets=("tiny/answer",),
        description="Answers a drop.",
    ),
    Reaction(
        name="tiny/follow",
        event_types=("visibility_shift_detected",),
        assets=("tiny/forgetful",),
        description="Succeeds without noting what it has answered.",
    ),
)


def folder() -> Path:
    return Path(os.environ["LIFTOS_HOME"])


def note(name: str, text: str) -> None:
    with (folder() / name).open("a", encoding="utf-8") as file:
        file.write(text + "\n")


@dg.asset(partitions_def=clients, key=["tiny", "quick"])
def quick(context: dg.AssetExecutionContext) -> None:
    """Says which process it ran in."""
    note("quick", f"{context.partition_key} {os.getpid()}")


@dg.asset(partitions_def=clients, key=["tiny", "second"])
def second(context: dg.AssetExecutionContext) -> None:
    """Says which process it ran in."""
    note("second", f"{context.partition_key} {os.getpid()}")


@dg.asset(partitions_def=clients, key=["tiny", "patient"])
def patient() -> None:
    """Longer than a run's tag allows."""
    note("patient", "began")
    time.sleep(30)


@dg.asset(partitions_def=clients, key=["tiny", "slow"])
def slow() -> None:
    """Takes a minute, and can be interrupted."""
    note("slow", "began")
    time.sleep(60)


@dg.asset(partitions_def=clients, key=["tiny", "stubborn"])
def stubborn() -> None:
    """Takes a minute and heeds no interrupt."""
    note("stubborn", "began")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            time.sleep(1)
        except BaseException:
            note("stubborn", "refused")


@dg.asset(partitions_def=clients, key=["tiny", "crash"])
def crash() -> None:
    """Takes its process down."""
    os._exit(7)


@dg.asset(
    partitions_def=clients,
    key=["tiny", "late"],
    retry_policy=dg.RetryPolicy(max_retries=1),
    op_tags={"liftos/step_timeout_seconds": "0.3"},
)
def late() -> None:
    """Longer than it may take, both times."""
    note("late", "began")
    time.sleep(30)


@dg.asset(partitions_def=clients, key=["tiny", "answer"])
def answer(context: dg.AssetExecutionContext) -> None:
    """Answers each open drop of the client, once the home has no file `hold`; killed once if it has one `fall`."""
    spine = open_spine()
    if (folder() / "fall").exists():
        (folder() / "fall").unlink()
        note("fell", str(os.getpid()))
        os.kill(os.getpid(), 9)
    while (folder() / "hold").exists():
        time.sleep(0.05)
    for event in spine.events(context.partition_key, types=["sentiment_drop_detected"]):
        if spine.mark_handled(event.event_id, REACTION):
            note("answered", event.event_id)


@dg.asset(partitions_def=clients, key=["tiny", "forgetful"])
def forgetful() -> None:
    """Forgets to note what it has answered."""
    note("forgetful", "ran")


defs = dg.Definitions(
    assets=[quick, second, patient, slow, stubborn, crash, late, answer, forgetful], executor=in_process_or_multiprocess
)
