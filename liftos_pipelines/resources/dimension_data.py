"""The seven domains' conceptual dimensions, read from `templates/dimensions/`, and their lines in a model's space."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from liftos_pipelines.modules.memory.recall.dimensions import Axes, Dimension, DimensionError, axes_of, dimensions_from

FOLDER = Path(__file__).resolve().parent.parent / "templates" / "dimensions"
ALWAYS = "marketing"
"""The domain that every client has."""


class Encoder(Protocol):
    """What turns texts into vectors: `Embedder` and `StaticEmbedder`."""

    @property
    def model_id(self) -> str: ...

    def encode(self, texts: list[str]) -> NDArray[np.float32]: ...


@lru_cache(maxsize=1)
def all_dimensions() -> dict[str, tuple[Dimension, ...]]:
    """The dimensions of each domain.

    Raises
    ------
    DimensionError : a file cannot be used, naming file, dimension and field
    """
    return {domain: dimensions for domain, (_, dimensions) in _files().items()}


def dimensions_for(industry: str | None) -> tuple[Dimension, ...]:
    """Those of marketing, and of the industry's domain where there is one (`saas` is enterprise, `travel` has none)."""
    found = _files()
    own = [domain for domain, (industries, _) in found.items() if industry in industries and domain != ALWAYS]
    return tuple(one for domain in (ALWAYS, *own) for one in found[domain][1])


def axes_for(industry: str | None, encoder: Encoder) -> Axes:
    """The lines of a client's dimensions in an encoder's space, computed once a process and model."""
    key = (industry, encoder.model_id)
    if key not in _AXES:
        _AXES[key] = axes_of(dimensions_for(industry), lambda texts: encoder.encode(list(texts)), encoder.model_id)
    return _AXES[key]


_AXES: dict[tuple[str | None, str], Axes] = {}


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[tuple[str, ...], tuple[Dimension, ...]]]:
    found = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            found[str(content["domain"])] = (tuple(content.get("industries", [])), tuple(dimensions_from(content)))
        except (DimensionError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise DimensionError(f"{file}: {error}") from error
    return found
