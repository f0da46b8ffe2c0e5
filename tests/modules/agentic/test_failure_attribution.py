"""Who made a run fail: the step that is told apart by what it looks like, never by the agent's name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from agentic_frames import agents, call, steps

from liftos_pipelines.bench.who_and_when import failures
from liftos_pipelines.modules.agentic.attribution import Turn, attribute, measure, stands_out
from liftos_pipelines.modules.agentic.attribution_fit import as_json, cross_validate, fit, from_json
from liftos_pipelines.modules.agentic.evidence import runs_of
from liftos_pipelines.modules.agentic.failed_runs import failure_attribution
from liftos_pipelines.resources.attribution_weights import packaged_model

CODE = "```python\nprint(assumed)\n```"


def turns(*said: tuple[str, str]) -> list[Turn]:
    return [Turn(step=i, agent=agent, text=text) for i, (agent, text) in enumerate(said)]


RUN = turns(
    ("Planner", "The task: how many boats are there? Plan: count them."),
    (
        "Coder",
        f"Assuming placeholder data, for example 17 boats, I simulate the harbour. {CODE} " + "More words. " * 20,
    ),
    ("terminal", "exitcode: 1 (execution failed)\nTraceback: KeyError"),
    ("Coder", "I fix the name."),
    ("terminal", "exitcode: 0 (execution succeeded)\n17"),
    ("Planner", "There are 17."),
)


def test_the_step_that_made_up_data_and_failed_is_named_and_an_environment_never_is() -> None:
    blames = attribute(RUN, packaged_model())
    assert blames[0].step == 1
    assert "it assumes, approximates or makes up data" in blames[0].reasons
    assert {blame.step for blame in blames} == {0, 1, 3, 5}
    assert sum(blame.probability for blame in blames) == pytest.approx(1)
    assert max(blames, key=lambda blame: blame.agent_probability).agent == "Coder"


def test_other_names_change_nothing() -> None:
    renamed = [Turn(step=t.step, agent={"Planner": "x", "Coder": "y"}.get(t.agent, "z"), text=t.text) for t in RUN]
    assert np.array_equal(measure(RUN)[1], measure(renamed)[1])


def test_where_no_step_stands_out_it_is_unknown_and_a_run_without_steps_too() -> None:
    alike = turns(*[("a", "ok")] * 1)
    assert not stands_out(attribute(alike, packaged_model()), packaged_model())
    assert attribute(turns(("terminal", "exitcode: 0")), packaged_model()) == []


def test_failed_runs_of_the_log_are_attributed_and_others_are_not() -> None:
    lost = steps(
        {"kind": "message", "content": "user: how did we do?"},
        call("read_metrics", {}), {"kind": "tool_result", "tool": "read_metrics", "content": "Error: timeout"},
        {"kind": "reasoning", "content": "Assume the usual 40 orders a day, for example."},
        {"kind": "outcome", "reward": 0.0},
        run_id="lost",
    )  # fmt: skip
    won = lost.with_columns(run_id=pl.lit("won"), reward=pl.when(pl.col("kind") == "outcome").then(1.0))
    log = pl.concat([lost, won])
    found = failure_attribution(log, runs_of(log, agents({"agent_id": "a"})), packaged_model())
    assert found["run_id"].unique().to_list() == ["lost"]
    assert set(found["step"].to_list()) == {2, 4}
    assert found["verdict"].is_in(["likely", "unknown"]).all()


def test_weights_keep_their_names_in_the_file() -> None:
    model = packaged_model()
    assert np.allclose(from_json(as_json(model)).weights, model.weights)
    with pytest.raises(ValueError, match="measures"):
        from_json({"measures": {"charm": {}}})


def test_runs_are_read_whether_speakers_stand_in_name_or_role_and_people_are_never_at_fault(tmp_path: Path) -> None:
    said = [
        ("human", "How many boats?"), ("Orchestrator (thought)", "Plan: look."), ("Orchestrator (-> Surfer)", "Look."),
        ("Surfer", "I clicked 'Boats'. The page says 17."), ("Orchestrator (final answer)", "17"),
    ]  # fmt: skip
    run = {
        "history": [{"role": role, "content": content} for role, content in said],
        "mistake_agent": "Surfer", "mistake_step": "3", "question_ID": "q",
    }  # fmt: skip
    (tmp_path / "1.json").write_text(json.dumps(run))
    (read,) = failures(tmp_path)
    assert [turn.agent for turn in read.turns] == ["human", "Orchestrator", "Orchestrator", "Surfer", "Orchestrator"]
    assert read.measured[0] == [1, 2, 3, 4]
    assert {blame.step for blame in attribute(read.turns, packaged_model())} == {1, 2, 3, 4}


@pytest.mark.slow
def test_held_out_questions_are_judged_better_than_by_who_talks_most_or_by_place(shared_data: Path) -> None:
    known = failures(shared_data / "agentic" / "who_and_when" / "algorithm_generated")
    judged = cross_validate(known)
    agent = np.array([each.agent_right for each in judged], dtype=float)
    step = np.array([each.step_right for each in judged], dtype=float)
    talkative = [Counter(turn.agent for turn in f.turns).most_common(1)[0][0] == f.agent for f in known]
    second = [f.turns[f.measured[0][1]].step == f.step for f in known]
    drawn = np.random.default_rng(1).integers(0, len(known), (1000, len(known)))
    for what, right, control in (("agent", agent, talkative), ("step", step, second)):
        better = right - np.array(control, dtype=float)
        low = np.percentile(better[drawn].mean(axis=1), 5)
        print(f"{what}: {right.mean():.3f} against {np.mean(control):.3f}, difference at least {low:+.3f}")
        assert low > 0
    # Weights learned from shuffled labels must not do as well: the dummy that must fail.
    rng = np.random.default_rng(2)
    shuffled = []
    for failure in known:
        place = int(rng.choice(failure.measured[0]))
        shuffled.append(
            type(failure)(
                turns=failure.turns,
                agent=failure.turns[place].agent,
                step=failure.turns[place].step,
                group=failure.group,
            )
        )
    from liftos_pipelines.modules.agentic.attribution_fit import judge

    dummy = fit(shuffled, source="shuffled")
    assert np.mean([judge(failure, dummy).step_right for failure in known]) < step.mean() - 0.1
