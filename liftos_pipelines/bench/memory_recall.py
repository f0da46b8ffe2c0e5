"""How long recall takes at 10,000 and 50,000 memories, beside LanceDB's own hybrid search, a dot product and BM25.

The whole path is timed as a caller sees it: journal looked at, question encoded, every channel, fusion, neighbours and
explanations. Memories' MiniLM vectors are random unit vectors around centres, planted in the vector cache: running the
network over 50,000 texts would take an hour and change no latency. Static vectors are real.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval
from liftos_pipelines.modules.memory.recall.lexical import Bm25
from liftos_pipelines.modules.memory.recall.texts import searchable
from liftos_pipelines.modules.memory.records.items import SCHEMA

SIZES = (10_000, 50_000)
ASKED, COLD = 300, 30
K = 10
CENTRES, SCATTER = 200, 0.6
SEED = 7
GOAL = "< 10 ms"

SUBJECTS = ("tv", "search", "social", "video", "newsletter", "display", "pricing", "delivery", "packaging", "support")
EVENTS = (
    *("budget was raised", "creative was changed", "delivery failed", "price was cut", "landing page was rewritten"),
    *("audience was narrowed", "voucher was sent", "placement was paused", "stock ran out", "bid was lowered"),
)
PLACES = ("north", "south", "east", "west", "coast", "capital", "border", "islands")
REASONS = (
    *("after complaints about late parcels", "because rivals cut prices", "before the holiday season"),
    *("on advice of the agency", "after the lift test", "because the response had flattened", "after a warm spring"),
)
PEOPLE = ("Ana Reis", "Jon Berg", "Mia Falk", "Leo Sand", "Ida Holm")


@dataclass(frozen=True, kw_only=True)
class _Timed:
    name: str
    taken: NDArray[np.float64]
    method: str
    goal: str | None = None
    computed: NDArray[np.float64] | None = None
    """CPU time of the calling thread: what is left when others do not wait for the same cores."""


def measure(_: Path) -> Iterator[Figure]:
    """Recall by each kind of question vector at each size, the peers on the same rows, and the encoders' throughput."""
    # LanceDB warns at every search of columns that it will not add in future.
    for name in ("LANCE_LOG", "LANCEDB_LOG"):
        os.environ.setdefault(name, "error")
    for size in SIZES:
        timed, built = _at(size)
        peers = {one.name: float(np.percentile(one.taken, 95)) for one in timed if one.name.startswith("beside")}
        for one in timed:
            ours = not one.name.startswith("beside")
            value, low, high = p95_interval(one.taken)
            median = float(np.median(one.taken))
            yield Figure(
                benchmark="memory",
                name=f"{one.name} p95, {size:,} memories",
                value=value,
                low=low,
                high=high,
                unit="ms",
                n=one.taken.size,
                goal=one.goal,
                method=f"{one.method}; p50 {median:.2f} ms"
                + _computed(one)
                + (f"; built in {built:.1f} s" if ours else ""),
                baseline="LanceDB hybrid p95" if ours else None,
                baseline_value=peers["beside: LanceDB hybrid"] if ours else None,
            )
    yield from _throughput()


def _both(action: Callable[[int], object], times: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wall and CPU time of each call, in ms."""
    used = np.empty(times)

    def one(number: int) -> None:
        began = time.thread_time()
        action(number)
        used[number] = (time.thread_time() - began) * 1000

    return milliseconds(one, times), used


def _computed(one: _Timed) -> str:
    if one.computed is None:
        return ""
    return f"; CPU p50 {np.median(one.computed):.2f}, p95 {np.percentile(one.computed, 95):.2f} ms"


def _at(size: int) -> tuple[list[_Timed], float]:
    from liftos_pipelines.resources.embedder import Embedder, default_model_path
    from liftos_pipelines.resources.memory_store import MemoryStore

    rng = np.random.default_rng(SEED)
    items, questions = memories(rng, size), asked(rng, ASKED + COLD)
    texts = searchable(items)
    centres = _unit(rng.normal(size=(CENTRES, 384)))
    vectors, known = _scattered(rng, centres, size), _scattered(rng, centres, ASKED)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedder = Embedder(default_model_path(), Path(folder) / "_cache", kept=2 * size)
        embedder.plant([*texts, *questions[:ASKED]], np.concatenate([vectors, known]))
        store = MemoryStore("bench", embedder, Path(folder), flush_seconds=None)
        store.restore(items)
        began = time.perf_counter()
        store.recall(questions[0], K)
        built = time.perf_counter() - began
        store.recall(questions[0], K, encoder="static")
        cached = _both(lambda i: store.recall(questions[i], K), ASKED)
        static = _both(lambda i: store.recall(questions[i], K, encoder="static"), ASKED)
        embedder.encode(["the model is loaded before the clock runs"])
        cold = _both(lambda i: store.recall(questions[ASKED + i], K, encoder="full"), COLD)
        hybrid = _lancedb(Path(folder) / "plain", texts, vectors)
        plain = milliseconds(lambda i: hybrid(questions[i], known[i]), ASKED)
    words = Bm25(texts)
    lexical = milliseconds(lambda i: np.argpartition(-words.scores(questions[i]), K)[:K], ASKED)
    dot = milliseconds(lambda i: np.argpartition(-(vectors @ known[i]), K)[:K], ASKED)
    whole = f"hybrid recall with explanations, k {K}, in process, every channel of the store's index"
    ours = (
        ("cached vector", cached, "question known", GOAL),
        ("static vector", static, "question never asked", GOAL),
        ("cold MiniLM", cold, "with a forward pass of the network", None),
    )
    beside = (
        ("LanceDB hybrid", plain, "hybrid search on the same rows: FTS and IVF_FLAT, its RRF reranker, vector given"),
        ("dot product", dot, "numpy, exact, the ten best rows and nothing else"),
        ("BM25", lexical, "BM25 of this house, the ten best rows and nothing else"),
    )
    timed = [
        _Timed(name=f"recall, {name}", taken=taken, computed=used, method=f"{whole}; {how}", goal=goal)
        for name, (taken, used), how, goal in ours
    ]
    return timed + [_Timed(name=f"beside: {name}", taken=taken, method=how) for name, taken, how in beside], built


def _lancedb(folder: Path, texts: list[str], vectors: NDArray[np.float32]) -> Callable[[str, Any], list[Any]]:
    import lancedb
    import pyarrow as pa
    from lancedb.index import FTS, IvfFlat
    from lancedb.rerankers import RRFReranker

    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    rows = pa.table({"id": pa.array(range(len(texts))), "text": texts, "vector": flat})
    table = lancedb.connect(str(folder)).create_table("plain", rows)
    table.create_index("text", config=FTS(with_position=False))
    table.create_index("vector", config=IvfFlat(distance_type="cosine"))
    reranker = RRFReranker()

    def search(text: str, vector: NDArray[np.float32]) -> list[Any]:
        found = table.search(query_type="hybrid").vector(vector).text(text).rerank(reranker).limit(K)
        return found.select(["id", "text"]).to_list()

    search("tv", vectors[0])
    return search


def _throughput() -> Iterator[Figure]:
    from liftos_pipelines.resources.embedder import Embedder, default_model_path
    from liftos_pipelines.resources.static_embedder import packaged_static

    texts = memories(np.random.default_rng(SEED + 1), 5_000)["text"].to_list()
    static = packaged_static()
    static.encode(texts[:10])
    began = time.perf_counter()
    static.encode(texts)
    fast = len(texts) / (time.perf_counter() - began)
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(default_model_path(), Path(folder))
        embedder.encode(["warm"])
        began = time.perf_counter()
        embedder.encode(texts[:128])
        slow = 128 / (time.perf_counter() - began)
        hot = milliseconds(lambda i: embedder.encode([texts[i % 128]]), 2_000)
        once = milliseconds(lambda i: static.encode([texts[i]]), 2_000)
    for name, value, n in (("MiniLM", slow, 128), ("static", fast, len(texts))):
        yield Figure(
            benchmark="memory", name=f"texts embedded, {name}", value=value, unit="a second", n=n,
            method="notes of about 20 word pieces, one thread, one batch",
        )  # fmt: skip
    for name, taken, goal in (("known question", hot, "< 0.05 ms p50"), ("static question", once, "< 0.3 ms")):
        yield Figure(
            benchmark="memory", name=f"vector of a {name}, p50", value=float(np.median(taken)), unit="ms", n=taken.size,
            method=f"one text a call; p95 {np.percentile(taken, 95):.4f} ms", goal=goal,
        )  # fmt: skip


def memories(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """(count) notes and outcomes with campaigns, channels, authors and conversations, as item rows."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(count):
        campaign, channel = f"c{rng.integers(count // 50)}", str(rng.choice(SUBJECTS[:6]))
        text = _sentence(rng)
        note = number % 2 == 0
        at = start + timedelta(minutes=10 * number)
        rows.append(
            dict.fromkeys(SCHEMA)
            | {
                "memory_id": f"m{number}",
                "version_id": f"m{number}@0",
                "kind": "note" if note else "outcome",
                "text": text,
                "context": text,
                "domain": "marketing",
                "valid_from": at,
                "recorded_at": at,
                "source": "bench",
                "source_key": str(number),
                "campaign_id": campaign,
                "subject": f"talk {number // 20}" if note else f"campaign:{campaign}",
                "author": str(rng.choice(PEOPLE)) if note else None,
                "attributes": f'{{"channel": "{channel}"}}',
                "content_hash": str(number),
                "provenance": f'{{"event": "e{number // 4}", "key": "{number}"}}',
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def asked(rng: np.random.Generator, count: int) -> list[str]:
    """Questions about what memories tell, half of them naming a campaign; no two alike."""
    return [
        f"What happened in the {rng.choice(PLACES)} when the {rng.choice(EVENTS)} for {rng.choice(SUBJECTS)}"
        + (f" in campaign c{rng.integers(200)}" if number % 2 else "")
        + f" {rng.choice(REASONS)}? ({number})"
        for number in range(count)
    ]


def _sentence(rng: np.random.Generator) -> str:
    return (
        f"In {rng.choice(PLACES)} the {rng.choice(EVENTS)} for {rng.choice(SUBJECTS)} {rng.choice(REASONS)} and "
        f"conversions moved by {rng.integers(-40, 40)} percent in week {rng.integers(1, 53)}, "
        f"code {rng.integers(1 << 20):05x}"
    )


def _scattered(rng: np.random.Generator, centres: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    noise = _unit(rng.normal(size=(count, centres.shape[1])))
    return _unit(centres[rng.integers(len(centres), size=count)] + SCATTER * noise)


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
