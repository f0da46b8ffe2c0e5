"""What a raise achieved is no evidence for a cut, however alike their words."""

import numpy as np
import pytest

from liftos_pipelines.modules.memory.learning.evidence import Evidence
from liftos_pipelines.modules.memory.learning.scope import Scope, similar_actions

ACTIONS = (
    "increase tv budget by 50 %",
    "raise tv spend by 20 %",
    "cut tv budget by 40 %",
    "increase video budget by 50 %",
    "raise_bid",
    "lower the bids",
)


def evidence() -> Evidence:
    """One outcome of each action, with vectors that hardly tell them apart, as a small text model gives."""
    rng = np.random.default_rng(1)
    vectors = np.ones((len(ACTIONS), 8)) + 0.05 * rng.normal(size=(len(ACTIONS), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(ACTIONS)
    return Evidence(
        ids=np.array([f"m{i}" for i in range(n)]),
        contexts=vectors.astype(np.float32),
        actions=vectors.astype(np.float32),
        action_codes=np.arange(n),
        action_texts=ACTIONS,
        success=np.full(n, 0.5),
        moments=np.zeros(n, dtype=np.int64),
        groups=np.array(["g"] * n),
        topics=np.array(["causal"] * n),
        effects=np.zeros(n),
        errors=np.ones(n),
        metrics=np.array(["net"] * n),
        scales=np.ones(n),
        fingerprint="f",
    )


@pytest.mark.parametrize(
    ("action", "like"),
    [
        ("increase tv budget by 50 %", {"increase tv budget by 50 %", "raise tv spend by 20 %"}),
        ("cut tv budget by 40 %", {"cut tv budget by 40 %"}),
        ("increase video budget by 50 %", {"increase video budget by 50 %"}),
        ("raise_bid", {"raise_bid", "lower the bids"}),
    ],
)
def test_a_move_of_spend_is_like_moves_of_the_same_channel_in_the_same_direction(action: str, like: set[str]) -> None:
    known = evidence()
    scope = Scope(unrelated=np.empty(0), background=0.0, action_background=0.5)
    alike = similar_actions(known, scope, known.actions[ACTIONS.index(action)], action)
    assert {text for text, value in zip(ACTIONS, alike, strict=True) if value > 0} == like
