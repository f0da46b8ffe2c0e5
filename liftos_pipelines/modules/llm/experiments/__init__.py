"""Experiments of prompts and models in production: from randomised calls to a decision that holds at any look."""

from liftos_pipelines.modules.llm.experiments.measured import asked_same, errors_recorded

__all__ = ["asked_same", "errors_recorded"]
