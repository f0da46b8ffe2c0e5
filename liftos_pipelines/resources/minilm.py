"""MiniLM as a small network of our own: the same numbers as the published model, with room for low-rank changes.

The weights come from the installed package; what LiftOS adds are thin matrices beside each linear map. Texts of one
length are computed together, so nothing is padded. This file imports torch: import it inside functions only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from liftos_pipelines.modules.sentiment.reading.adapter import Adapter

WIDTH = 384
HEADS = 12
LAYERS = 6
FEATURES = 2 * WIDTH
"""Mean and maximum of the last layer's states over a text's word pieces."""
MAPS = ("qkv", "out", "up", "down")
"""The linear maps of a layer: query, key and value in one; attention output; feed-forward up and down."""


class Linear(nn.Module):
    """A frozen linear map, with a low-rank change beside it where `rank` > 0."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, rank: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype))
        self.register_buffer("bias", bias.to(dtype))
        self.rank = rank
        if rank:
            self.a = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
            self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if not self.rank:
            return y
        return y + F.linear(F.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))


class Layer(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised."""

    def __init__(self, maps: Mapping[str, tuple[Tensor, Tensor]], norms: list[Tensor], rank: int, dtype: torch.dtype):
        super().__init__()
        self.qkv = Linear(*maps["qkv"], rank, dtype)
        self.out = Linear(*maps["out"], rank, dtype)
        self.up = Linear(*maps["up"], rank, dtype)
        self.down = Linear(*maps["down"], rank, dtype)
        for k, one in enumerate(norms):
            self.register_buffer(f"norm{k}", one.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        # Written out: for texts this short, torch's fused attention is far slower in training.
        seen = torch.softmax((q / math.sqrt(width // HEADS)) @ k.transpose(-1, -2), -1) @ v
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        x = F.layer_norm(x, (width,), self.norm0, self.norm1, 1e-12)
        x = x + self.down(F.gelu(self.up(x)))
        return F.layer_norm(x, (width,), self.norm2, self.norm3, 1e-12)


class MiniLM(nn.Module):
    """Word-piece ids of equal length in, states of the last layer out.

    Parameters
    ----------
    folder : the published model's files
    ranks : rank of the trainable change in each of the six layers; 0 leaves a layer as it is
    adapter : changes to add to the weights once and for all
    dtype : of the frozen weights and of all states
    """

    words: Tensor
    places: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        folder: Path,
        *,
        ranks: Sequence[int] = (0,) * LAYERS,
        adapter: Adapter | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        from safetensors.torch import load_file

        stored = load_file(str(folder / "model.safetensors"))
        places = stored["embeddings.position_embeddings.weight"] + stored["embeddings.token_type_embeddings.weight"][0]
        self.register_buffer("words", stored["embeddings.word_embeddings.weight"])
        self.register_buffer("places", places)
        self.register_buffer("scale", stored["embeddings.LayerNorm.weight"])
        self.register_buffer("shift", stored["embeddings.LayerNorm.bias"])
        self.dtype = dtype
        self.layers = nn.ModuleList(
            Layer(_maps(stored, number, adapter), _norms(stored, number), rank, dtype)
            for number, rank in enumerate(ranks)
        )
        self.frozen = next((number for number, rank in enumerate(ranks) if rank), LAYERS)

    def forward(self, ids: Tensor) -> Tensor:
        """(n, length, 384) states of (n, length) ids."""
        with torch.no_grad():
            x = F.embedding(ids, self.words) + self.places[: ids.shape[1]]
            x = F.layer_norm(x, (WIDTH,), self.scale, self.shift, 1e-12).to(self.dtype)
            for layer in self.layers[: self.frozen]:
                x = layer(x)
        for layer in self.layers[self.frozen :]:
            x = layer(x)
        return x

    def learned(self, base: str) -> Adapter:
        """The trained changes, as an adapter of the encoder called `base`."""
        changes = {}
        for number, layer in enumerate(self.layers):
            for name in MAPS:
                one = getattr(layer, name)
                if one.rank:
                    b, a = one.b.detach().numpy(), one.a.detach().numpy()
                    changes[f"{number}.{name}"] = (b.astype(np.float16), a.astype(np.float16))
        return Adapter(base=base, changes=changes)


def pooled(states: Tensor) -> Tensor:
    """(n, 768) features of (n, length, 384) states."""
    states = states.float()
    return torch.cat([states.mean(1), states.max(1).values], 1)


def by_length(ids: Sequence[Sequence[int]], rows: int = 32) -> Iterator[list[int]]:
    """Batches of texts of one length, as places in `ids`."""
    places = defaultdict(list)
    for place, one in enumerate(ids):
        places[len(one)].append(place)
    for length in sorted(places):
        for start in range(0, len(places[length]), rows):
            yield places[length][start : start + rows]


def features_of(network: MiniLM, ids: Sequence[Sequence[int]], *, readers: int = 1) -> NDArray[np.float32]:
    """(n, 768) features of texts given as word-piece ids, read batch by batch by so many threads.

    Several small batches at once use a machine's cores better than one batch on all of them, and a text's features do
    not depend on who else is read.
    """
    out = np.empty((len(ids), FEATURES), dtype=np.float32)

    def read(batch: list[int]) -> None:
        with torch.inference_mode():
            out[batch] = pooled(network(torch.tensor([ids[place] for place in batch]))).numpy()

    with ThreadPoolExecutor(readers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(read, by_length(ids)):
            pass
    return out


def _maps(stored: Mapping[str, Tensor], number: int, adapter: Adapter | None) -> dict[str, tuple[Tensor, Tensor]]:
    at = f"encoder.layer.{number}"
    parts = [f"{at}.attention.self.{name}" for name in ("query", "key", "value")]
    names = {"out": f"{at}.attention.output.dense", "up": f"{at}.intermediate.dense", "down": f"{at}.output.dense"}
    maps = {
        "qkv": (torch.cat([stored[f"{p}.weight"] for p in parts]), torch.cat([stored[f"{p}.bias"] for p in parts])),
        **{name: (stored[f"{place}.weight"], stored[f"{place}.bias"]) for name, place in names.items()},
    }
    if adapter is None:
        return maps
    return {
        name: (torch.from_numpy(adapter.changed(f"{number}.{name}", weight.numpy())), bias)
        for name, (weight, bias) in maps.items()
    }


def _norms(stored: Mapping[str, Tensor], number: int) -> list[Tensor]:
    at = f"encoder.layer.{number}"
    names = (f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm")
    return [stored[f"{name}.{part}"] for name in names for part in ("weight", "bias")]
