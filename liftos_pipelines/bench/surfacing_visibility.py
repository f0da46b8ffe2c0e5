"""Visibility's figures: coverage on simulated panels of known truth, panel design, real answers, and run time."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.bench.figure import Figure, NoData, unmeasured
from liftos_pipelines.stats import FloatArray

BENCHMARK = "surfacing"
ICC = 0.8
PROMPTS, RATES, REPEATS = (10, 20, 33, 60, 132), (0.05, 0.1, 0.2, 0.3, 0.5), (1, 2, 3)
STREAMS, BRANDS = 6000, 50
PANELS = 25
TRACKED = 60
Z = float(stats.norm.ppf(0.95))


def measure(data: Path) -> Iterator[Figure]:
    """Coverage of quick and hierarchical intervals, panel design, and what real answers show."""
    yield from _quick_coverage()
    yield from _hierarchical_coverage()
    yield from _leaders()
    yield from _changes()
    yield from _panel_formula()
    try:
        yield from _real(data)
    except NoData as absent:
        yield unmeasured(BENCHMARK, "real answers", "", str(absent))


def simulated(
    rng: np.random.Generator, rates: FloatArray, prompts: int, repeats: int, icc: float = ICC
) -> tuple[FloatArray, FloatArray]:
    """Mentions and answers, (prompts, streams); each prompt has its own probability, Beta with that correlation."""
    k = 1 / icc - 1
    named = rng.binomial(repeats, rng.beta(rates * k, (1 - rates) * k, (prompts, len(rates)))).astype(float)
    return named, np.full(named.shape, float(repeats))


def _near(rng: np.random.Generator, rate: float, size: int) -> FloatArray:
    """Rates about one: at a single rate the coverage of a count swings by points (Brown, Cai and DasGupta 2001)."""
    return rate * np.exp(rng.uniform(-0.25, 0.25, size))


def _naive(named: FloatArray, asked: FloatArray, rates: FloatArray) -> FloatArray:
    total = asked.sum(axis=0)
    value = named.sum(axis=0) / total
    return np.abs(value - rates) <= Z * np.sqrt(value * (1 - value) / total)


def _quick_coverage() -> Iterator[Figure]:
    """Panels of 50 brands of about one rate."""
    from liftos_pipelines.modules.surfacing.visibility.intervals import ratio_intervals

    rng, found, naive, paired = np.random.default_rng(11), [], [], []
    for prompts, rate, repeats in product(PROMPTS, RATES, REPEATS):
        rates = _near(rng, rate, STREAMS)
        named, asked = simulated(rng, rates, prompts, repeats)
        parts = [slice(at, at + BRANDS) for at in range(0, STREAMS, BRANDS)]
        bounds = [ratio_intervals(named[:, part], asked[:, part])[1:3] for part in parts]
        low, high = (np.concatenate(side) for side in zip(*bounds, strict=True))
        found.append(float(((low <= rates) & (rates <= high)).mean()))
        naive.append(float(_naive(named, asked, rates).mean()))
        paired.append(repeats)
    n = len(found) * STREAMS
    repeated = np.array(paired) > 1
    beside = "answers taken as independent, 2 and 3 repeats"
    yield Figure(
        benchmark=BENCHMARK, name="quick interval: coverage of 90 %", value=float(np.mean(found)), unit="", n=n,
        low=min(found), high=max(found), goal=".87 to .93", baseline=beside,
        baseline_value=float(np.array(naive)[repeated].mean()),
        method=f"mean, least and most of {len(found)} settings: 10-132 prompts, rate about .05-.5, 1-3 repeats, ICC .8",
    )  # fmt: skip


def _hierarchical_coverage() -> Iterator[Figure]:
    from liftos_pipelines.modules.surfacing.visibility.posterior import sample_engine

    rng, held, n = np.random.default_rng(12), [], 0
    naive: list[bool] = []
    for prompts, repeats in product(PROMPTS, REPEATS):
        inside: list[bool] = []
        plain: list[bool] = []
        for seed in range(PANELS):
            rates = np.concatenate([_near(rng, rate, 2) for rate in RATES])
            named, asked = simulated(rng, rates, prompts, repeats)
            drawn = sample_engine(named, asked, seed=seed, draws=500).rates
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
            inside += ((low <= rates) & (rates <= high)).tolist()
            plain += _naive(named, asked, rates).tolist() if repeats > 1 else []
        held.append(float(np.mean(inside)))
        naive += plain
        n += len(inside)
    yield Figure(
        benchmark=BENCHMARK, name="hierarchical interval: coverage of 90 %", value=float(np.mean(held)), unit="", n=n,
        low=min(held), high=max(held), goal=".87 to .93", baseline="answers taken as independent, 2 and 3 repeats",
        baseline_value=float(np.mean(naive)),
        method=f"mean, least and most of {len(held)} panels' shapes, ten brands each, rates about .05-.5, ICC .8",
    )  # fmt: skip


def _leaders() -> Iterator[Figure]:
    """Probabilities of leading, among brands of one category that share prompts."""
    from liftos_pipelines.modules.surfacing.visibility.posterior import sample_engine
    from liftos_pipelines.modules.surfacing.visibility.ranks import above, couple

    rng, said, apart, true = np.random.default_rng(13), [], [], []
    upper = np.triu_indices(4, 1)
    for seed in range(4 * PANELS):
        rates = rng.uniform(0.2, 0.4, 4)
        k = 1 / 0.6 - 1
        leaning = np.where(rng.random((60, 1)) < 0.5, rng.beta(2 * rates * k, (1 - 2 * rates) * k, (60, 4)), 0.0)
        named = rng.binomial(2, leaning).astype(float)
        asked = np.full(named.shape, 2.0)
        drawn = sample_engine(named, asked, seed=seed, draws=400).rates
        said += above(couple(drawn, named / asked, seed=seed))[upper].tolist()
        apart += (named.sum(axis=0)[:, None] > named.sum(axis=0)[None, :])[upper].astype(float).tolist()
        true += (rates[:, None] > rates[None, :])[upper].tolist()
    p, q, won = np.array(said), np.array(apart), np.array(true, dtype=float)
    yield Figure(
        benchmark=BENCHMARK, name="P(A > B): Brier score", value=float(((p - won) ** 2).mean()), unit="", n=len(won),
        goal="below both dummies (never sure: .25)", baseline="ranking by the rates found, as if sure",
        baseline_value=float(((q - won) ** 2).mean()),
        method="pairs of 4 brands of one category, true rates .2-.4, 60 prompts, 2 repeats",
    )  # fmt: skip
    sure = np.maximum(p, 1 - p) >= 0.9
    right = np.where(p > 0.5, won, 1 - won)[sure]
    yield Figure(
        benchmark=BENCHMARK, name="P(A > B) >= .9: how often right", value=float(right.mean()), unit="", n=len(right),
        goal=f"as said: {np.maximum(p, 1 - p)[sure].mean():.2f}", method="the same pairs",
    )  # fmt: skip


def _changes() -> Iterator[Figure]:
    """Month to month on the same prompts, a fifth of them leaning anew; and where nothing changed."""
    from liftos_pipelines.modules.surfacing.visibility.benchmark import paired_change

    rng, k = np.random.default_rng(14), 1 / ICC - 1
    held, alarms, width, wide, naive = [], [], [], [], []
    for size, repeats in product((20, 40, 100), (1, 3)):
        streams = 400
        for old, new in ((0.4, 0.3), (0.3, 0.3)):
            shared = rng.random((size, streams))
            leaning = np.where(rng.random(shared.shape) < 0.2, rng.random(shared.shape), shared)
            before = rng.binomial(repeats, stats.beta.ppf(shared, old * k, (1 - old) * k)).astype(float)
            after = rng.binomial(repeats, stats.beta.ppf(leaning, new * k, (1 - new) * k)).astype(float)
            asked, names = np.full(before.shape, float(repeats)), [str(p) for p in range(size)]
            found = paired_change(names, (after, asked), names, (before, asked))
            assert found is not None
            change, low, high, _ = found
            held.append(float(((low <= new - old) & (new - old <= high)).mean()))
            p = (before.sum(axis=0) + after.sum(axis=0)) / (2 * size * repeats)
            half = Z * np.sqrt(2 * p * (1 - p) / (size * repeats))
            if old == new:
                alarms.append(float(((low > 0) | (high < 0)).mean()))
                naive.append(float((np.abs(change) > half).mean()))
            spread = [(part / repeats).std(axis=0, ddof=1) / np.sqrt(size) for part in (before, after)]
            width.append(float((high - low).mean()))
            wide.append(float((2 * Z * np.hypot(*spread)).mean()))
    yield Figure(
        benchmark=BENCHMARK, name="paired change: coverage of 90 %", value=float(np.mean(held)), unit="", n=12 * 400,
        low=min(held), high=max(held), goal=".87 to .93",
        method="mean, least and most of 12 settings: 20-100 prompts, 1 or 3 repeats, ICC .8, change 0 or -.1",
    )  # fmt: skip
    yield Figure(
        benchmark=BENCHMARK, name="paired change: claimed where there is none", value=float(np.mean(alarms)), unit="",
        n=6 * 400, goal="<= .10", baseline="two independent samples of answers", baseline_value=float(np.mean(naive)),
        method="the settings without a change",
    )  # fmt: skip
    yield Figure(
        benchmark=BENCHMARK, name="paired change: width", value=float(np.mean(width) / np.mean(wide)), unit="",
        n=12 * 400, method="as a share of the width of two unpaired clustered intervals",
        baseline="unpaired", baseline_value=1.0,
    )  # fmt: skip


def _panel_formula() -> Iterator[Figure]:
    from liftos_pipelines.modules.surfacing.visibility.panel_design import half_width

    rng, ratios, naive = np.random.default_rng(15), [], []
    for prompts, rate, repeats, icc in product((20, 60, 132), (0.1, 0.3, 0.5), (1, 3), (0.3, 0.8)):
        named, asked = simulated(rng, np.full(2000, rate), prompts, repeats, icc)
        spread = (named.sum(axis=0) / asked.sum(axis=0)).std()
        quantile = float(stats.t.ppf(0.95, prompts - 1))
        ratios.append(half_width(rate, icc, prompts, repeats) / quantile / spread)
        naive.append(np.sqrt(rate * (1 - rate) / (prompts * repeats)) / spread)
    yield Figure(
        benchmark=BENCHMARK, name="panel formula: standard error against simulation", value=float(np.mean(ratios)),
        unit="", n=len(ratios) * 2000, low=min(ratios), high=max(ratios), goal="1",
        baseline="answers taken as independent", baseline_value=float(np.mean(naive)),
        method=f"mean, least and most ratio of {len(ratios)} settings, 20-132 prompts, 1 or 3 repeats, ICC .3 or .8",
    )  # fmt: skip


def recorded_answers(data: Path) -> tuple[pl.DataFrame, list[str]]:
    """The 792 recorded answers as a client would bring them, and the brands that they list most.

    Raises
    ------
    NoData : the data set is not on this machine
    """
    from liftos_pipelines.tables import table

    folder = data / "surfacing" / "ai_product_bench" / "responses"
    if not folder.is_dir():
        raise NoData(f"{folder} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    rows, counts = [], Counter[str]()
    for file in sorted(folder.glob("*/run_*.jsonl")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            if not line.strip():
                continue
            answer = json.loads(line)
            rows.append(
                {"answer_id": f"{file.parent.name}-{answer['run']}-{answer['query_id']}", "run": str(answer["run"]),
                 "asked_at": datetime(2025, 5, 24, tzinfo=UTC), "engine": file.parent.name,
                 "prompt_id": answer["query_id"], "prompt": answer["query_id"], "text": answer["response"],
                 "citations": [source["url"] for source in answer["sources"]]}
            )  # fmt: skip
            counts.update({product["brand"] for product in answer["products_mentioned"] if product.get("brand")})
    return table("sources/answers").conform(pl.DataFrame(rows)), [name for name, _ in counts.most_common(TRACKED)]


def _real(data: Path) -> Iterator[Figure]:
    from liftos_pipelines.modules.surfacing.answers.mentions import answer_mentions
    from liftos_pipelines.modules.surfacing.visibility.counts import count_answers
    from liftos_pipelines.modules.surfacing.visibility.visibility import visibility
    from liftos_pipelines.modules.surfacing.visibility.visibility_posterior import visibility_posterior
    from liftos_pipelines.text import Name

    answers, tracked = recorded_answers(data)
    mentions = answer_mentions(answers, [Name(name=brand) for brand in tracked])
    visibility(mentions.head(TRACKED * 20))  # what polars sets up once
    began = time.process_time()
    rates = visibility(mentions)
    quick = time.process_time() - began
    began = time.process_time()
    posterior, _ = visibility_posterior(mentions)
    slow = time.process_time() - began
    size = f"{answers.height} answers, {TRACKED} brands, 2 engines, CPU time"
    yield Figure(benchmark=BENCHMARK, name="quick visibility: run time", value=quick, unit="s", n=answers.height,
                 goal="<= .5", method=size)  # fmt: skip
    yield Figure(benchmark=BENCHMARK, name="hierarchical visibility: run time", value=slow, unit="s",
                 n=answers.height, method=f"{size}, pairs and ranks included")  # fmt: skip
    named = posterior.filter((pl.col("engine") != "all") & (pl.col("rate") > 0.02))
    yield Figure(
        benchmark=BENCHMARK, name="real answers: within-prompt correlation", value=_middle(named["icc"]), unit="",
        low=_quantile(named["icc"], 0.05), high=_quantile(named["icc"], 0.95), n=named.height,
        method="median and 90 % range over brands above 2 % and engines, 3 runs of a prompt", baseline="independent",
        baseline_value=0.0,
    )  # fmt: skip
    for title, key in (("prompt", "prompt_id"), ("topic of four wordings", "topic")):
        grouped = mentions.with_columns(
            topic=((pl.col("prompt_id").str.extract(r"(\d+)").cast(pl.Int64) - 2219) // 4).cast(pl.String)
        ).with_columns(prompt_id=pl.col(key))
        (month,) = count_answers(grouped)
        effects = _design_effects(month[-1].units["mentioned"], month[-1].units["answers"])
        yield Figure(
            benchmark=BENCHMARK, name=f"real answers: design effect by {title}", value=float(np.median(effects)),
            unit="", low=float(np.quantile(effects, 0.05)), high=float(np.quantile(effects, 0.95)), n=len(effects),
            method="median and 90 % range over brands above 2 %, both engines", baseline="independent",
            baseline_value=1.0,
        )  # fmt: skip
    one = rates.filter((pl.col("engine") == "all") & (pl.col("metric") == "mention_rate") & (pl.col("value") > 0.02))
    width = (one["high"] - one["low"]) / (2 * Z * (one["value"] * (1 - one["value"]) / answers.height).sqrt())
    yield Figure(
        benchmark=BENCHMARK, name="real answers: width against the naive interval", value=_middle(width), unit="times",
        n=one.height, method="median over brands above 2 %, both engines together", baseline="answers as independent",
        baseline_value=1.0,
    )  # fmt: skip


def _design_effects(named: FloatArray, asked: FloatArray) -> FloatArray:
    """Variance of each brand's rate between clusters over that of as many independent answers."""
    total = asked.sum(axis=0)
    value = named.sum(axis=0) / total
    kept = value > 0.02
    clusters = len(named)
    spread = clusters / (clusters - 1) * ((named - value * asked) ** 2).sum(axis=0) / total**2
    return (spread / (value * (1 - value) / total))[kept]


def _middle(values: pl.Series) -> float:
    return _quantile(values, 0.5)


def _quantile(values: pl.Series, q: float) -> float:
    return float(np.quantile(values.to_numpy(), q))
