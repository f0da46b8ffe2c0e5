"""Learning the weights of failure attribution from failed runs whose deciding step is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from liftos_pipelines.modules.agentic.attribution import (
    MEASURES,
    AttributionModel,
    FloatArray,
    Turn,
    agent_chances,
    measure,
    softmax,
)

PENALTY = 5.0
"""Ridge penalty on standardised weights: sixteen measures, some hundred runs."""
STANDS_OUT = 2.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed run with the agent and step at fault; `group` keeps runs of one question together."""

    turns: tuple[Turn, ...]
    agent: str
    step: int
    group: str

    @cached_property
    def measured(self) -> tuple[list[int], FloatArray]:
        """As `measure` gives it; asked for once, however many folds it stands in."""
        return measure(self.turns)


def fit(failures: Sequence[Failure], *, source: str, penalty: float = PENALTY) -> AttributionModel:
    """Weights that make the known steps, and the known agents, most probable (penalised maximum likelihood).

    A run whose labelled step belongs to an environment teaches its agent only.
    """
    from scipy.optimize import minimize

    measured = [(failure, *failure.measured) for failure in failures]
    stacked = np.vstack([rows for _, _, rows in measured])
    mean, scale = stacked.mean(axis=0), stacked.std(axis=0)
    scale[scale == 0] = 1.0
    cases: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for failure, open_to, rows in measured:
        steps = np.array([failure.turns[i].step == failure.step for i in open_to], dtype=float)
        agents = np.array([failure.turns[i].agent == failure.agent for i in open_to], dtype=float)
        cases.append(((rows - mean) / scale, steps, agents))

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        value, slope = penalty * float(weights @ weights), 2 * penalty * weights
        for rows, *targets in cases:
            chances = softmax(rows @ weights)
            expected = chances @ rows
            for target in targets:
                if target.any():
                    share = float(chances @ target)
                    value -= float(np.log(share))
                    slope = slope - ((chances * target) @ rows / share - expected)
        return value, slope

    found = minimize(loss, np.zeros(len(MEASURES)), jac=True, method="L-BFGS-B")
    return AttributionModel(mean=mean, scale=scale, weights=found.x, stands_out=STANDS_OUT, source=source)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One held-out failure: what was said of it, and whether that was right."""

    agent: str
    step: int
    agent_right: bool
    step_right: bool
    probability: float
    out_of: int


def judge(failure: Failure, model: AttributionModel) -> Judged:
    """The model's likeliest agent and, of all steps, the likeliest step of a failure, against the label."""
    open_to, rows = failure.measured
    chances = softmax(model.utilities(rows).sum(axis=1))
    by_agent = agent_chances([failure.turns[i].agent for i in open_to], chances)
    agent = max(by_agent, key=lambda name: by_agent[name])
    step = failure.turns[open_to[int(chances.argmax())]].step
    return Judged(
        agent=agent,
        step=step,
        agent_right=agent == failure.agent,
        step_right=step == failure.step,
        probability=float(chances.max()),
        out_of=len(open_to),
    )


def cross_validate(failures: Sequence[Failure]) -> list[Judged]:
    """Each failure judged by weights that never saw its question."""
    groups = sorted({failure.group for failure in failures})
    judged: dict[int, Judged] = {}
    for group in groups:
        model = fit([failure for failure in failures if failure.group != group], source="held out")
        judged |= {k: judge(failure, model) for k, failure in enumerate(failures) if failure.group == group}
    return [judged[k] for k in range(len(failures))]


def as_json(model: AttributionModel) -> dict[str, object]:
    """A model as it is packaged: names beside numbers."""
    return {
        "source": model.source,
        "stands_out": model.stands_out,
        "measures": {
            name: {"mean": round(float(m), 6), "scale": round(float(s), 6), "weight": round(float(w), 6)}
            for name, m, s, w in zip(MEASURES, model.mean, model.scale, model.weights, strict=True)
        },
    }


def from_json(content: dict[str, object]) -> AttributionModel:
    """The model in a packaged file.

    Raises
    ------
    ValueError : the file's measures are not those of this version, naming them
    """
    measures = content.get("measures")
    if not isinstance(measures, dict) or set(measures) != set(MEASURES):
        raise ValueError(f"attribution weights name {measures!r}; this version measures {', '.join(MEASURES)}")

    def column(name: str) -> FloatArray:
        return np.array([float(measures[each][name]) for each in MEASURES])

    empty = AttributionModel(
        mean=column("mean"), scale=column("scale"), weights=column("weight"), stands_out=STANDS_OUT, source="unknown"
    )
    return replace(empty, stands_out=float(str(content["stands_out"])), source=str(content["source"]))
