"""How stable brand sets and ranks are: from run to run, from month to month, and against what chance alone does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.modules.surfacing.visibility.counts import readable
from liftos_pipelines.modules.surfacing.visibility.intervals import LEVEL
from liftos_pipelines.stats import FloatArray, percentile_interval
from liftos_pipelines.tables import ALL, table

SPLITS = 200
MOST_RUNS = 6
"""Answers to one prompt and month that are compared pair by pair; the first ones asked."""

Estimate = tuple[float, float, float, int]
NOTHING: Estimate = (float("nan"), float("nan"), float("nan"), 0)


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """Answers of one engine and month: `named` (n_answers, n_brands) of 0 and 1, `prompt` (n_answers,)."""

    named: FloatArray
    prompt: NDArray[np.int64]

    def rates(self, prompts: int) -> tuple[FloatArray, FloatArray]:
        """Mentions (prompts, n_brands) and answers (prompts,)."""
        sums = np.zeros((prompts, self.named.shape[1]))
        np.add.at(sums, self.prompt, self.named)
        return sums, np.bincount(self.prompt, minlength=prompts).astype(float)


def stability(mentions: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """The table `surfacing/stability`, per engine of the newest month (and `all`).

    Brand sets, `measure` `jaccard`: brands named by both / by either of two answers of one engine to one prompt, a mean
    over prompts with its 90 % interval; pairs that name nobody are left out.

    - `run_to_run`: both answers of the newest month
    - `period_to_period`: one of the newest month, one of the month before. Sets have moved where it lies below.

    Ranks, `measure` `kendall`: tau-b of all brands' mention rates.

    - `period_to_period`: the newest month and the one before, on the prompts asked in both; bootstrap over prompts
    - `split_runs`: two random halves of each prompt's answers in the newest month: chance alone, nothing has changed.
      Ranks have moved where `period_to_period` lies below it; halves are the noisier, so that is said too rarely.
    - `split_prompts`: two random halves of the prompts: how far ranks depend on which prompts were chosen

    `value` is null where there is nothing to compare.
    """
    contract = table("surfacing/stability")
    known = readable(mentions)
    if known.is_empty():
        return contract.empty()
    period = str(known["period"].max())
    brands = known["brand"].unique().sort().to_list()
    rows: list[dict[str, object]] = []
    newest = known.filter(pl.col("period") == period)
    for engine in [*newest["engine"].unique().sort().to_list(), ALL]:
        part = known if engine == ALL else known.filter(pl.col("engine") == engine)
        earlier = sorted(part.filter(pl.col("period") < period)["period"].unique().to_list())
        months = [newest if engine == ALL else newest.filter(pl.col("engine") == engine)]
        months += [part.filter(pl.col("period") == earlier[-1])] if earlier else []
        rng = np.random.default_rng(seed)
        for (scope, measure), (value, low, high, n) in _measures(months, brands, rng).items():
            rows.append(
                {"period": period, "engine": engine, "scope": scope, "measure": measure,
                 "value": _known(value), "low": _known(low), "high": _known(high), "n_prompts": n}
            )  # fmt: skip
    return contract.conform(pl.DataFrame(rows, schema=contract.columns))


def _measures(
    months: list[pl.DataFrame], brands: list[str], rng: np.random.Generator
) -> dict[tuple[str, str], Estimate]:
    keys = pl.concat([month.select("engine", "prompt_id") for month in months]).unique().sort("engine", "prompt_id")
    prompts = sorted(keys["prompt_id"].unique().to_list())
    by_engine = [_answers(month, brands, keys) for month in months]
    asked = keys["prompt_id"].replace_strict(prompts, range(len(prompts)), return_dtype=pl.Int64).to_numpy()
    whole = [_Answers(named=each.named, prompt=asked[each.prompt]) for each in by_engine]
    old_sets, old_ranks = (by_engine[1], whole[1]) if len(months) > 1 else (None, None)
    return {
        ("run_to_run", "jaccard"): _overlap(by_engine[0], None, asked),
        ("period_to_period", "jaccard"): _overlap(by_engine[0], old_sets, asked) if old_sets else NOTHING,
        ("period_to_period", "kendall"): _between(whole[0], old_ranks, len(prompts), rng) if old_ranks else NOTHING,
        ("split_runs", "kendall"): _split_runs(whole[0], len(prompts), rng),
        ("split_prompts", "kendall"): _split_prompts(whole[0], len(prompts), rng),
    }


def _answers(month: pl.DataFrame, brands: list[str], keys: pl.DataFrame) -> _Answers:
    wide = (
        month.select("answer_id", "engine", "prompt_id", "asked_at").unique("answer_id").sort("asked_at", "answer_id")
    )
    place = {pair: k for k, pair in enumerate(keys.iter_rows())}
    at = {answer: i for i, answer in enumerate(wide["answer_id"].to_list())}
    named = np.zeros((wide.height, len(brands)))
    hits = month.filter("mentioned")
    columns = hits["brand"].replace_strict(brands, range(len(brands)), return_dtype=pl.Int64).to_numpy()
    named[[at[answer] for answer in hits["answer_id"].to_list()], columns] = 1.0
    prompt = np.array([place[pair] for pair in wide.select("engine", "prompt_id").iter_rows()], dtype=np.int64)
    return _Answers(named=named, prompt=prompt)


def _overlap(new: _Answers, old: _Answers | None, asked: NDArray[np.int64]) -> Estimate:
    """Mean over prompts of the overlap of pairs of answers: within `new`, or between `new` and `old`."""
    each: dict[int, list[float]] = {}
    for key in np.unique(new.prompt):
        one = new.named[new.prompt == key][:MOST_RUNS]
        other = one if old is None else old.named[old.prompt == key][:MOST_RUNS]
        both = one @ other.T
        either = one.sum(axis=1)[:, None] + other.sum(axis=1)[None, :] - both
        wanted = either > 0
        if old is None:
            wanted &= np.triu(np.ones_like(wanted), 1)
        if wanted.any():
            each.setdefault(int(asked[key]), []).append(float((both[wanted] / either[wanted]).mean()))
    if not each:
        return NOTHING
    means = np.array([np.mean(values) for values in each.values()])
    mean = float(means.mean())
    if means.size < 2:
        return mean, float("nan"), float("nan"), 1
    half = float(stats.t.ppf(0.5 + LEVEL / 2, means.size - 1) * means.std(ddof=1) / np.sqrt(means.size))
    return mean, max(mean - half, 0.0), min(mean + half, 1.0), int(means.size)


def _between(new: _Answers, old: _Answers, prompts: int, rng: np.random.Generator) -> Estimate:
    tables = [month.rates(prompts) for month in (new, old)]
    both = np.flatnonzero((tables[0][1] > 0) & (tables[1][1] > 0))
    if both.size < 2:
        return NOTHING
    draws = np.array([_tau_of(tables, rng.choice(both, both.size)) for _ in range(SPLITS)])
    low, high = percentile_interval(draws[np.isfinite(draws)], LEVEL)
    return _tau_of(tables, both), low, high, int(both.size)


def _split_runs(new: _Answers, prompts: int, rng: np.random.Generator) -> Estimate:
    twice = np.flatnonzero(np.bincount(new.prompt, minlength=prompts) > 1)
    if twice.size < 2:
        return NOTHING
    found = []
    for _ in range(SPLITS):
        order = rng.permutation(len(new.prompt))
        order = order[np.argsort(new.prompt[order], kind="stable")]
        sorted_prompts = new.prompt[order]
        first = np.searchsorted(sorted_prompts, sorted_prompts)
        odd = (np.arange(len(order)) - first) % 2 == 1
        halves = [_Answers(named=new.named[order[half]], prompt=sorted_prompts[half]) for half in (odd, ~odd)]
        found.append(_tau_of([half.rates(prompts) for half in halves], twice))
    return _mean(np.array(found), int(twice.size))


def _split_prompts(new: _Answers, prompts: int, rng: np.random.Generator) -> Estimate:
    sums, answers = new.rates(prompts)
    asked = np.flatnonzero(answers > 0)
    if asked.size < 4:
        return NOTHING
    found = []
    for _ in range(SPLITS):
        mixed = rng.permutation(asked)
        halves = (mixed[: asked.size // 2], mixed[asked.size // 2 :])
        found.append(_tau(*(sums[half].sum(axis=0) / answers[half].sum() for half in halves)))
    return _mean(np.array(found), int(asked.size))


def _tau_of(tables: Sequence[tuple[FloatArray, FloatArray]], picked: NDArray[np.int64]) -> float:
    return _tau(*(sums[picked].sum(axis=0) / answers[picked].sum() for sums, answers in tables))


def _tau(one: FloatArray, other: FloatArray) -> float:
    return float(stats.kendalltau(one, other).statistic) if len(one) > 1 else float("nan")


def _mean(values: FloatArray, n: int) -> Estimate:
    known = values[np.isfinite(values)]
    return (float(known.mean()), *percentile_interval(known, LEVEL), n) if known.size else NOTHING


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
