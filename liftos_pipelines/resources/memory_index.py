"""How a client's search index is made: vectors of each model, further channels of evidence, and their weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.clients import ClientConfig, ClientError, load_client
from liftos_pipelines.modules.memory.recall.dimensions import dimension_channel
from liftos_pipelines.modules.memory.recall.entities import known_names
from liftos_pipelines.modules.memory.recall.fusion import PRIOR, Settings
from liftos_pipelines.modules.memory.recall.graph import graph_channel
from liftos_pipelines.modules.memory.recall.index import RecallIndex
from liftos_pipelines.modules.memory.recall.query import Channel, Vectors, Windows
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.resources.dimension_data import axes_for
from liftos_pipelines.resources.embedder import Embedder
from liftos_pipelines.resources.static_embedder import StaticEmbedder, StaticModelError, packaged_static

log = logging.getLogger(__name__)


class IndexMaker:
    """Makes a client's index; vectors of two models lie beside each other in it and never meet.

    Parameters
    ----------
    settings : weights of the channels; a channel of weight 0 is not built
    """

    def __init__(self, client: str, embedder: Embedder | None, settings: Settings = PRIOR) -> None:
        self.client, self.embedder, self.settings = client, embedder, settings

    def build(
        self, items: pl.DataFrame, vectors: NDArray[np.float32], windows: Sequence[NDArray[np.float32]] = ()
    ) -> RecallIndex:
        """The index of all rows.

        Parameters
        ----------
        items : (n) item rows; vectors : (n, d) of the embedder's model
        windows : for each row the vectors of its windows, of that model; () where no text is long
        """
        spaces = self.spaces(items, vectors)
        return RecallIndex(
            items,
            spaces,
            model_id=self.model_id,
            channels=self._channels(items, spaces),
            settings=self.settings,
            windows=self.windows(windows),
        )

    def windows(self, windows: Sequence[NDArray[np.float32]]) -> Windows:
        """Vectors of windows by model."""
        return {self.model_id: windows} if windows else {}

    def spaces(self, items: pl.DataFrame, vectors: NDArray[np.float32]) -> Vectors:
        """Vectors of these rows by model."""
        spaces: dict[str, NDArray[np.float32]] = {self.model_id: vectors}
        if self.static is not None:
            spaces[self.static.model_id] = self.static.encode(searchable(items))
        return spaces

    @property
    def model_id(self) -> str:
        return self.embedder.model_id if self.embedder is not None else "no model"

    @cached_property
    def static(self) -> StaticEmbedder | None:
        """The static embedding for cold questions; None where its file is not there, which is said once."""
        try:
            return packaged_static()
        except StaticModelError as absent:
            log.warning("questions that were never asked before wait for the full model: %s", absent)
            return None

    def _channels(self, items: pl.DataFrame, spaces: Vectors) -> list[Channel]:
        channels: list[Channel] = []
        config = self._config()
        if self.settings.weights.get("graph"):
            brand = config.brand.names() if config is not None and config.brand else []
            channels.append(graph_channel(items, known_names(brand)))
        if self.settings.weights.get("dimensions"):
            encoders = [encoder for encoder in (self.embedder, self.static) if encoder is not None]
            industry = config.industry if config is not None else None
            axes = [axes_for(industry, encoder) for encoder in encoders]  # type: ignore[arg-type]
            channels.append(dimension_channel(items, spaces, axes))
        return channels

    def _config(self) -> ClientConfig | None:
        """The client's names and industry; a memory may be read without its configuration."""
        try:
            return load_client(self.client)
        except ClientError:
            return None
