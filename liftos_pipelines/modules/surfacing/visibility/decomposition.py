"""Where the gap to the leading competitor comes from: prompt groups, engines, and what happens in an answer.

Every decomposition adds up to its gap exactly. Splits of a level need no method: a gap is the sum of the groups' gaps,
each weighed by its share of answers. A change of the gap is split into what the mix of answers did and what the groups'
own gaps did, each at the mean of the other (Kitagawa 1955; for two factors the Shapley value). Of an answer's possible
ends exactly one happens to a brand, so differences in the others' frequencies make up the gap in the wanted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.visibility.counts import readable
from liftos_pipelines.modules.surfacing.visibility.intervals import LEVEL, prompt_weights
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL, table

METRICS = ("mention_rate", "top3_rate")
REPLICATES = 500
OTHER = "other"
"""Prompts that belong to no group of a dimension."""
TOP3, LOW, CITED, ABSENT = "top3", "named, ranked below three", "cited, not named", "neither named nor cited"
UNNAMED = "not named (citations unknown)"


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """Sums over answers, by prompt and part: `size` (n_prompts, n_parts), `brand`, `rival` (n_prompts, n_parts)."""

    size: FloatArray
    brand: FloatArray
    rival: FloatArray


def gap_decomposition(
    mentions: pl.DataFrame, groups: pl.DataFrame | None = None, *, seed: int = 0, replicates: int = REPLICATES
) -> pl.DataFrame:
    """The table `surfacing/gap_decomposition`: the newest month's gap, brand minus leading competitor.

    Per engine (and `all`) and metric; `dimension` is `engine` (of `all`), `intent`, `stage`, `wording` or `answer`, and
    `component` is `level` (this part of the gap), or `mix` and `rate` (this part of the gap's change since the engine's
    month before). The values of one dimension and component kind add up to `total` exactly: levels to the gap, mix and
    rate together to its change. Intervals are of a bootstrap over prompts with the competitor held fixed.

    - engine, intent, stage, wording: share of answers x (brand's rate - competitor's rate)
    - answer: by what happens instead, how much more often it happens to the brand (a negative value widens the gap):
      named but ranked below three (top3_rate only), cited but not named, neither named nor cited

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions`
    groups : `prompt_groups` of the same answers
    """
    contract = table("surfacing/gap_decomposition")
    known = readable(mentions).with_columns(own=pl.col("own").fill_null(False))
    if known.is_empty() or not known["own"].any():
        return contract.empty()
    newest = str(known["period"].max())
    rows: list[dict[str, object]] = []
    for engine in [*sorted(known.filter(pl.col("period") == newest)["engine"].unique().to_list()), ALL]:
        part = known if engine == ALL else known.filter(pl.col("engine") == engine)
        periods = sorted(part["period"].unique().to_list())
        now = part.filter(pl.col("period") == newest)
        before = part.filter(pl.col("period") == periods[-2]) if len(periods) > 1 else None
        for metric in METRICS:
            rows += _engine_rows(str(engine), metric, now, before, groups, seed, replicates)
    return contract.conform(pl.DataFrame(rows, schema=contract.columns))


def _engine_rows(
    engine: str,
    metric: str,
    now: pl.DataFrame,
    before: pl.DataFrame | None,
    groups: pl.DataFrame | None,
    seed: int,
    replicates: int,
) -> list[dict[str, object]]:
    rates = now.group_by("own", "brand").agg(rate=_success(metric).mean()).sort("own", "rate", "brand")
    rivals, own = rates.filter(~pl.col("own")), rates.filter("own")
    if rivals.is_empty() or own.is_empty():
        return []
    brand, rival = own["brand"][0], rivals["brand"][-1]
    head: dict[str, object] = {
        "period": now["period"][0], "engine": engine, "metric": metric, "brand": brand, "competitor": rival,
    }  # fmt: skip
    months = [now] if before is None else [now, before]
    paired = [_paired(month, brand, rival, metric) for month in months]
    prompts = sorted({prompt for month in paired for prompt in month["prompt_id"].to_list()})
    draws = prompt_weights(len(prompts), replicates, seed) if len(prompts) > 1 else None
    rows = []
    for dimension, labelled in _labels(paired, groups, engine):
        parts = sorted({label for month in labelled for label in month["part"].to_list()})
        if len(parts) < 2:
            continue
        cells = [_cells(month, prompts, parts) for month in labelled]
        rows += _level_rows(head, dimension, parts, cells[0], draws)
        if before is not None:
            changed = head | {"compared_with": before["period"][0]}
            rows += _change_rows(changed, dimension, parts, cells[0], cells[1], draws)
    return rows + _answer_rows(head, metric, paired[0], prompts, draws)


def _success(metric: str) -> pl.Expr:
    hit = pl.col("mentioned") if metric == "mention_rate" else (pl.col("rank") <= 3).fill_null(False)
    return hit.cast(pl.Float64)


def _paired(month: pl.DataFrame, brand: str, rival: str, metric: str) -> pl.DataFrame:
    """One row an answer: prompt, engine, success and end of the brand and of its rival."""
    named, cited = pl.col("mentioned"), pl.col("cited")
    low = pl.lit(LOW if metric == "top3_rate" else TOP3)
    end = (
        pl.when((pl.col("rank") <= 3).fill_null(False)).then(pl.lit(TOP3))
        .when(named).then(low)
        .when(cited.is_null()).then(pl.lit(UNNAMED))
        .when(cited).then(pl.lit(CITED))
        .otherwise(pl.lit(ABSENT))
    )  # fmt: skip
    both = month.select("answer_id", "engine", "prompt_id", "brand", success=_success(metric), end=end)
    mine, theirs = both.filter(pl.col("brand") == brand), both.filter(pl.col("brand") == rival)
    return mine.join(theirs.select("answer_id", rival_success="success", rival_end="end"), on="answer_id", how="inner")


def _labels(
    months: Sequence[pl.DataFrame], groups: pl.DataFrame | None, engine: str
) -> list[tuple[str, list[pl.DataFrame]]]:
    """Each dimension with the months' answers labelled by its parts."""
    found = []
    if engine == ALL:
        found.append(("engine", [month.with_columns(part=pl.col("engine")) for month in months]))
    if groups is not None and not groups.is_empty():
        for dimension in groups["dimension"].unique().sort().to_list():
            label = groups.filter(pl.col("dimension") == dimension).select("prompt_id", part="group")
            found.append(
                (
                    str(dimension),
                    [
                        month.join(label, on="prompt_id", how="left").with_columns(pl.col("part").fill_null(OTHER))
                        for month in months
                    ],
                )
            )
    return found


def _cells(month: pl.DataFrame, prompts: list[str], parts: list[str]) -> _Cells:
    shape = (len(prompts), len(parts))
    place = np.ravel_multi_index(
        (
            month["prompt_id"].replace_strict(prompts, range(shape[0]), return_dtype=pl.Int64).to_numpy(),
            month["part"].replace_strict(parts, range(shape[1]), return_dtype=pl.Int64).to_numpy(),
        ),
        shape,
    )

    def total(weights: FloatArray | None) -> FloatArray:
        return np.bincount(place, weights=weights, minlength=shape[0] * shape[1]).astype(float).reshape(shape)

    return _Cells(
        size=total(None), brand=total(month["success"].to_numpy()), rival=total(month["rival_success"].to_numpy())
    )


def _shares(cells: _Cells, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each part's share of answers and its gap, (draws, n_parts), for weights of prompts (draws, n_prompts)."""
    size = weights @ cells.size
    with np.errstate(divide="ignore", invalid="ignore"):
        share = size / size.sum(axis=1, keepdims=True)
        gap = np.where(size > 0, (weights @ (cells.brand - cells.rival)) / size, 0.0)
    return share, gap


def _interval(draws: FloatArray | None) -> tuple[list[float | None], list[float | None]]:
    if draws is None:
        return [], []
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return low.tolist(), high.tolist()


def _level_rows(
    head: dict[str, object], dimension: str, parts: list[str], cells: _Cells, draws: FloatArray | None
) -> list[dict[str, object]]:
    whole = np.ones((1, len(cells.size)))
    share, gap = _shares(cells, whole)
    value = (share * gap)[0]
    low, high = _interval(np.multiply(*_shares(cells, draws)) if draws is not None else None)
    rows = []
    for p, part in enumerate(parts):
        size = float(cells.size[:, p].sum())
        rows.append(
            head
            | {
                "dimension": dimension, "part": part, "component": "level", "value": float(value[p]),
                "low": low[p] if low else None, "high": high[p] if high else None, "total": float(value.sum()),
                "share": float(share[0, p]),
                "brand_rate": float(cells.brand[:, p].sum()) / size if size else None,
                "competitor_rate": float(cells.rival[:, p].sum()) / size if size else None,
            }
        )  # fmt: skip
    return rows


def _change_rows(
    head: dict[str, object], dimension: str, parts: list[str], now: _Cells, before: _Cells, draws: FloatArray | None
) -> list[dict[str, object]]:
    def split(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        (share, gap), (old_share, old_gap) = _shares(now, weights), _shares(before, weights)
        # A part that was not asked in one of the months has no gap there: its own other one stands in, so that its
        # whole effect is mix.
        gap_known, old_known = weights @ now.size > 0, weights @ before.size > 0
        gap, old_gap = np.where(gap_known, gap, old_gap), np.where(old_known, old_gap, gap)
        return (share - old_share) * (gap + old_gap) / 2, (share + old_share) / 2 * (gap - old_gap)

    values = split(np.ones((1, len(now.size))))
    total = float(sum(value.sum() for value in values))
    bounds = [_interval(value) for value in split(draws)] if draws is not None else [([], []), ([], [])]
    return [
        head
        | {
            "dimension": dimension, "part": part, "component": component, "value": float(value[0, p]),
            "low": low[p] if low else None, "high": high[p] if high else None, "total": total,
        }
        for component, value, (low, high) in zip(("mix", "rate"), values, bounds, strict=True)
        for p, part in enumerate(parts)
    ]  # fmt: skip


def _answer_rows(
    head: dict[str, object], metric: str, month: pl.DataFrame, prompts: list[str], draws: FloatArray | None
) -> list[dict[str, object]]:
    """What happens instead of success, more often to the brand (lowers its gap) or to its rival."""
    ends = [LOW] * (metric == "top3_rate") + [CITED, ABSENT, UNNAMED]
    known = set(month["end"].to_list()) | set(month["rival_end"].to_list())
    if UNNAMED in known:  # citations of one of the two are unknown: being cited cannot be compared
        plain = {CITED: UNNAMED, ABSENT: UNNAMED}
        month = month.with_columns(pl.col("end", "rival_end").replace(plain))
        known = set(month["end"].to_list()) | set(month["rival_end"].to_list())
    ends = [end for end in ends if end in known]
    if not ends:
        return []
    row = month["prompt_id"].replace_strict(prompts, range(len(prompts)), return_dtype=pl.Int64).to_numpy()
    size = np.bincount(row, minlength=len(prompts)).astype(float)
    each = np.stack(
        [
            np.bincount(row, weights=month[column].eq(end).cast(pl.Float64).to_numpy(), minlength=len(prompts))
            for column in ("rival_end", "end")
            for end in ends
        ],
        axis=1,
    )
    worse = each[:, : len(ends)] - each[:, len(ends) :]
    value = worse.sum(axis=0) / size.sum()
    low, high = _interval((draws @ worse) / (draws @ size)[:, None] if draws is not None else None)
    return [
        head
        | {
            "dimension": "answer", "part": end, "component": "level", "value": float(value[p]),
            "low": low[p] if low else None, "high": high[p] if high else None, "total": float(value.sum()),
            "brand_rate": float(each[:, len(ends) + p].sum() / size.sum()),
            "competitor_rate": float(each[:, p].sum() / size.sum()),
        }
        for p, end in enumerate(ends)
    ]  # fmt: skip
