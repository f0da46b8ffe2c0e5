"""The packaged weights of failure attribution, and making them anew."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from liftos_pipelines.modules.agentic.attribution import AttributionModel
from liftos_pipelines.modules.agentic.attribution_fit import Failure, as_json, cross_validate, fit, from_json

PACKAGED = Path(__file__).resolve().parents[1] / "artifacts" / "agentic" / "attribution.json"
SOURCE = "Who&When, algorithm-generated (mingyin1/Agents_Failure_Attribution @ 3d9d568, MIT)"


@lru_cache(maxsize=1)
def packaged_model() -> AttributionModel:
    """The model that comes with LiftOS.

    Raises
    ------
    ValueError : the file does not hold this version's measures
    """
    return from_json(json.loads(PACKAGED.read_text(encoding="utf-8")))


def train(failures: list[Failure], out: Path) -> dict[str, float]:
    """Fit on all failures, write the weights, and say how held-out failures were judged."""
    judged = cross_validate(failures)
    figures = {
        "runs": float(len(failures)),
        "agent_right": float(np.mean([each.agent_right for each in judged])),
        "step_right": float(np.mean([each.step_right for each in judged])),
    }
    content = as_json(fit(failures, source=SOURCE)) | {"held_out": figures}
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return figures
