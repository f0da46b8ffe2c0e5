"""The gate's record is history on which a changed policy is tried."""

from pathlib import Path

from gate_house import CLIENT, NOW, ask, gate, policy

from liftos_pipelines.authority.recorded import gate_steps
from liftos_pipelines.modules.agentic.backtest import back_test
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.tables import table


def test_what_the_gate_judged_is_replayed_with_its_answers(tmp_path: Path) -> None:
    spine = Spine(f"sqlite:///{tmp_path / 'spine.db'}")
    asked = gate(spine)
    first = asked.authorise(ask("adjust_bid", {"amount": 10, "campaign_id": "c1"}))
    asked.settle(first.decision_id, 10, "done", result='{"bid": 1}', flags=("injection",))
    asked.authorise(ask("read_customer", {}))
    assert asked.authorise(ask("send_mail", {"to": "x"})).decision == "deny"
    asked.authorise(ask("adjust_bid", {"amount": 90, "campaign_id": "c2"}, agent_id="b", run_id="r2"))
    steps = gate_steps(spine, CLIENT)
    assert steps.filter(kind="tool_call").select("run_id", "agent_id", "tool").rows() == [
        ("r1", "a", "adjust_bid"),
        ("r1", "a", "read_customer"),
        ("r1", "a", "send_mail"),
        ("r2", "b", "adjust_bid"),
    ]
    assert steps["at"].min() == NOW
    rules = [
        {"name": "looser_mail", "decision": "allow", "when": {"tool": "send_mail"}},
        {"name": "reversible", "decision": "allow", "when": {"reversible": True}},
    ]
    found = back_test(steps, table("sources/agents").empty(), policy(), policy(rules=rules))
    assert found.changes.select("tool", "before", "after").rows() == [("send_mail", "deny", "allow")]
    flagged = policy(
        rules=[
            *rules,
            {
                "name": "flagged",
                "decision": "deny",
                "when": {"sequence": [{"flagged": ["injection"]}, {"tool": "read_customer"}]},
            },
        ]
    )
    found = back_test(steps, table("sources/agents").empty(), policy(rules=rules), flagged)
    assert found.changes.select("tool", "after").rows() == [("read_customer", "deny")]
    assert gate_steps(spine, "nobody").is_empty()
    spine.engine.dispose()
