"""Surfacing: do AI assistants name, rank and cite the brand, what changed, and what would help.

Pure computing over frames: the tables it reads and writes are those of `liftos_pipelines.tables`.
"""

from liftos_pipelines.modules.surfacing.advice.recommendations import recommendations
from liftos_pipelines.modules.surfacing.answers.answer import Answer, parse_answer
from liftos_pipelines.modules.surfacing.answers.impression import word_position_impression
from liftos_pipelines.modules.surfacing.answers.mentions import SentimentScorer, answer_mentions
from liftos_pipelines.modules.surfacing.pages.audit import DIMENSIONS, audit_pages, measured_share
from liftos_pipelines.modules.surfacing.visibility.counts import METRICS

__all__ = [
    "DIMENSIONS",
    "METRICS",
    "Answer",
    "SentimentScorer",
    "answer_mentions",
    "audit_pages",
    "measured_share",
    "parse_answer",
    "recommendations",
    "word_position_impression",
]
