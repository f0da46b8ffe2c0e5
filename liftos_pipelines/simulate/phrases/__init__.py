"""Sentences of our own in eight languages, from which mentions are written. One file a language."""

from liftos_pipelines.simulate.phrases import ar, de, en, es, fr, hi, it, pt
from liftos_pipelines.simulate.phrases.phrase import Phrases

LANGUAGES: dict[str, Phrases] = {module.PHRASES.language: module.PHRASES for module in (ar, de, en, es, fr, hi, it, pt)}

__all__ = ["LANGUAGES", "Phrases"]
