"""The packaged calibration of the built-in judge of groundedness."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from liftos_pipelines.modules.llm.grounding.builtin import BuiltInJudge
from liftos_pipelines.modules.llm.grounding.calibration import Calibration, CalibrationError, read_calibration

PACKAGED = Path(__file__).parents[1] / "artifacts" / "llm" / "groundedness.json"


@lru_cache(maxsize=4)
def packaged_calibration(file: Path = PACKAGED) -> Calibration:
    """The calibration that comes with LiftOS.

    Raises
    ------
    CalibrationError : the file is missing or not a calibration
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{file}: not readable: {error}") from error
    return read_calibration(content, file=str(file))


def builtin_judge() -> BuiltInJudge:
    """The judge that every installation has."""
    return BuiltInJudge(packaged_calibration())
