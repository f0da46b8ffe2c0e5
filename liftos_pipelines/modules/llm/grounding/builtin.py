"""The built-in judge: features and calibration, a few milliseconds an output, no model."""

from __future__ import annotations

from dataclasses import dataclass

from liftos_pipelines.modules.llm.grounding.calibration import Calibration
from liftos_pipelines.modules.llm.grounding.evidence import read_evidence
from liftos_pipelines.modules.llm.grounding.features import OutputFeatures, output_features
from liftos_pipelines.modules.llm.grounding.parse import parse


def measure_output(output: str | None, context: str | None, prompt: str | None = None) -> OutputFeatures | None:
    """Features of an output in its context; None where either is empty or nothing can be checked."""
    if not output or not output.strip() or not context or not context.strip():
        return None
    asked = read_evidence(prompt) if prompt and prompt.strip() else None
    return output_features(parse(output), read_evidence(context), asked)


@dataclass(frozen=True, slots=True)
class BuiltInJudge:
    """`Judge` by text alone."""

    calibration: Calibration

    @property
    def name(self) -> str:
        return f"liftos-lexical@{self.calibration.version}"

    def probability(self, output: str, context: str, prompt: str | None = None) -> float | None:
        """Probability that every claim of the output is supported; None where nothing can be checked."""
        found = measure_output(output, context, prompt)
        return None if found is None else self.calibration.probability(found.values)
