"""The weights that a client's own answered questions gave its recall: one small file beside its memory.

Written by the asset memory/retrieval_quality, read by whoever recalls, in any process; without the file, or with one
that cannot be read, the packaged weights serve.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from liftos_pipelines.modules.memory.recall.fit import Fitted
from liftos_pipelines.modules.memory.recall.fusion import PRIOR, Settings

log = logging.getLogger(__name__)
FILE = "recall_weights.json"


class RecallWeights:
    """A client's weights as they stand in its memory's folder; looked at again when the file changes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        self._read_at: int | None = None
        self._settings = PRIOR

    @property
    def settings(self) -> Settings:
        try:
            changed = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            self._read_at, self._settings = None, PRIOR
            return PRIOR
        if changed != self._read_at:
            self._read_at, self._settings = changed, self._read()
        return self._settings

    def write(self, fitted: Fitted) -> None:
        """Keep what was fitted; the packaged weights are kept by removing the file, so that newer ones can serve."""
        if fitted.chosen == "prior":
            self.file.unlink(missing_ok=True)
            return
        told = {
            "weights": dict(fitted.settings.weights),
            "spread": fitted.settings.spread,
            "linked": fitted.settings.linked,
            "chosen": fitted.chosen,
            "reason": fitted.reason,
            "questions": fitted.questions,
            "groups": fitted.groups,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(told, indent=1), encoding="utf-8")
        fresh.replace(self.file)

    def _read(self) -> Settings:
        try:
            told = json.loads(self.file.read_text(encoding="utf-8"))
            linked = float(told.get("linked", PRIOR.linked))
            return Settings(weights=dict(told["weights"]), spread=float(told["spread"]), linked=linked)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
            log.warning(
                "%s cannot be used (%s), packaged weights serve: remove it, or materialise memory/retrieval_quality",
                self.file,
                wrong,
            )
            return PRIOR
