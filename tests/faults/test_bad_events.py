"""Events that cannot be answered as they are: a broken row, a client that is gone; the others are answered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_house import FaultHouse, house_at

from liftos_pipelines.bench.reaction_house import CLIENT
from liftos_pipelines.bench.reactions import _drop as drop_of
from liftos_pipelines.running import register


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[FaultHouse]:
    """A client without any source: reactions have nothing to estimate, but events are owed an answer all the same."""
    folder = tmp_path / "h" / "clients" / CLIENT
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(f"client: {CLIENT}\n", encoding="utf-8")
    (tmp_path / "h" / "dagster").mkdir()
    with house_at(tmp_path / "h") as house:
        register(house.instance, CLIENT)
        yield house


def test_a_malformed_row_and_a_client_that_is_gone_hold_up_nobody(bare: FaultHouse) -> None:
    spine = bare.spine
    broken, good = bare.raise_drop(), bare.raise_drop()
    with spine.writing() as connection:
        connection.exec_driver_sql("UPDATE events SET payload = '{half' WHERE event_id = ?", (broken.event_id,))
    lost = drop_of("lost", 3)
    ghost = spine.raise_event("ghost", lost, occurred_at=lost.detected_at)
    at_work = bare.dispatcher()
    at_work.turn()
    owed = {each.event_id: each.attempts for each in spine.pending(CLIENT, "causal/impact")}
    assert spine.is_handled(good.event_id, "causal/impact") or owed[good.event_id]
    [dead] = spine.dead_letters(CLIENT)
    assert dead.event_id == broken.event_id
    assert dead.reason
    [waiting] = [each for each in spine.pending("ghost", "causal/impact") if each.attempts]
    assert waiting.event_id == ghost.event_id
    assert 'client "ghost" is gone' in str(waiting.reason)
