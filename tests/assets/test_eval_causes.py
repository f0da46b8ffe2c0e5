"""Broken promises are answered one by one: one that cannot be answered keeps no other waiting."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from liftos_pipelines.assets.eval_causes import REACTION, tell_causes
from liftos_pipelines.modules.eval.changes import CAUSES
from liftos_pipelines.resources.spine import open_spine
from liftos_pipelines.spine.outbox import Outbox
from liftos_pipelines.spine.payloads import TrustDegraded
from liftos_pipelines.tables import table


def test_a_broken_promise_without_a_readable_cause_waits_alone_with_the_reason(home: Path) -> None:
    spine, now = open_spine(), datetime(2025, 6, 1, tzinfo=UTC)
    events = [
        spine.raise_event(
            "acme",
            TrustDegraded(
                module="sentiment", slo=slo, as_of=date(2025, 6, 1), value=1.0, threshold=2.0, probability_met=0.01
            ),
            occurred_at=now,
        )
        for slo in ("poison", "sound")
    ]
    row = dict.fromkeys(CAUSES) | {"rank": 1, "module": "sentiment", "cause": "engine = a", "evidence": "e"}
    causes = pl.DataFrame(
        [
            row | {"incident_id": "sentiment.poison@2025-06-01", "kind": None},  # of a version that said less
            row | {"incident_id": "sentiment.sound@2025-06-01", "kind": "level"},
        ],
        schema=CAUSES,
    )
    box = Outbox(spine)
    answered, failed = tell_causes(box, spine, "acme", causes, table("eval/trust_scores").empty(), {}, run_id="r")
    box.commit()
    assert answered == 1
    assert "kind" in failed[0]
    assert [spine.is_handled(event.event_id, REACTION) for event in events] == [False, True]
    (waiting,) = spine.pending("acme", REACTION)
    assert (waiting.event_id, waiting.attempts) == (events[0].event_id, 1)
    assert [entry.content["event_id"] for entry in spine.ledger("acme")] == [events[1].event_id]
