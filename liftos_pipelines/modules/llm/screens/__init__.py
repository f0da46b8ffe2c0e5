"""Screens of what goes into a model and what comes out: injection, personal data, abuse, generalising about groups."""

from liftos_pipelines.modules.llm.screens.injection import injection
from liftos_pipelines.modules.llm.screens.pii import pii, redact
from liftos_pipelines.modules.llm.screens.verdict import Screened
from liftos_pipelines.modules.llm.screens.wording import bias_flag, generalising, toxicity, toxicity_flag

__all__ = ["Screened", "bias_flag", "generalising", "injection", "pii", "redact", "toxicity", "toxicity_flag"]
