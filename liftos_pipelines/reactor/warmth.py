"""What a worker loads while nobody waits: slow imports, the encoder, the suites of checks."""

from __future__ import annotations

import gc
import importlib
import logging
from collections.abc import Callable
from contextlib import suppress

from liftos_pipelines.reactor.workers import REACTIONS

IMPORTS = {
    REACTIONS: ("deltalake", "lancedb", "sklearn.linear_model", "torch", "sentence_transformers"),
    "batch": ("deltalake", "sklearn.linear_model", "lancedb", "torch", "sentence_transformers"),
}
"""In the order in which they are wanted; the sampler's own (pymc, nutpie) are left to the runs that fit."""
PREPARED = {
    REACTIONS: ("liftos_pipelines.reactor.warmth:encoder", "liftos_pipelines.checks.evaluation:prepare"),
    "batch": ("liftos_pipelines.checks.evaluation:prepare", "liftos_pipelines.reactor.warmth:encoder"),
}
log = logging.getLogger("liftos.reactor")


def encoder() -> None:
    """Load the encoder that memory uses; a text never seen, so that the cache does not answer."""
    import time

    from liftos_pipelines.resources.embedder import open_embedder

    open_embedder().encode([f"warm {time.time_ns()}"])


def warm(kind: str, wait: Callable[[], None]) -> None:
    """Load what a kind of worker needs; `wait` is called between two steps and may take its time."""
    for name in IMPORTS.get(kind, ()):
        wait()
        with suppress(ImportError):  # whoever needs it will say so
            importlib.import_module(name)
    for function in PREPARED.get(kind, ()):
        wait()
        module, _, name = function.partition(":")
        try:
            getattr(importlib.import_module(module), name)()
        except Exception:
            log.warning("could not prepare %s", function, exc_info=True)
    # What is loaded stays: the collector need not look through a million objects again and again.
    gc.collect()
    gc.freeze()
