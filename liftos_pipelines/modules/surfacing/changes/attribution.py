"""Whose a change is, beyond what the series say: our own prompts or reading, or a model that the engine announced."""

from __future__ import annotations

import hashlib
from datetime import date

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.changes.daily import DailySeries, daily_series
from liftos_pipelines.stats import FloatArray

PROMPTS_CHANGED = 0.1
"""Share of recent answers to prompts not asked before (or of earlier ones no longer asked) that makes us look."""
MOSTLY = 0.5
"""A recorded version changed when so large a share of later answers has one not seen before."""
MODEL_COLUMNS = ("model", "model_id", "model_version")
"""Columns of `sources/answers` that say which model answered; optional."""
OWN_COLUMNS = ("parser_version", "collector_version", "locale")
"""Columns of `sources/answers` or `surfacing/answer_mentions` that say how answers were collected or read; optional."""


def prompt_hash() -> pl.Expr:
    """Identity of a prompt: its id and its wording, so that a reworded prompt counts as another."""
    return pl.concat_str("prompt_id", pl.col("prompt").fill_null(""), separator="\n").map_batches(
        lambda texts: pl.Series(
            [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in texts], dtype=pl.String
        ),
        return_dtype=pl.String,
    )


def asked_prompts(answers: pl.DataFrame) -> pl.DataFrame:
    """Per answer: engine, date, hash of the prompt, and whichever version columns are recorded."""
    versions = [name for name in (*MODEL_COLUMNS, *OWN_COLUMNS) if name in answers.columns]
    dated = answers.filter(pl.col("asked_at").is_not_null())
    distinct = dated.select("prompt_id", "prompt").unique().with_columns(prompt_key=prompt_hash())
    return dated.join(distinct, on=["prompt_id", "prompt"], how="left", nulls_equal=True).select(
        "engine", "answer_id", "prompt_key", *versions, date=pl.col("asked_at").dt.date()
    )


def versions_changed(
    asked: pl.DataFrame, columns: tuple[str, ...], begin: date, low: date, high: date, end: date
) -> str:
    """Words about a recorded version that changed while the series did, else nothing.

    Parameters
    ----------
    asked : one engine's `asked_prompts`
    begin, end : the alarm's days, from the base's first to the last; `low`, `high` : when the change began
    """
    for column in columns:
        if column not in asked.columns:
            continue
        known = asked.drop_nulls(column).with_columns(version=pl.col(column).cast(pl.String))
        before = known.filter(pl.col("date").is_between(begin, low, closed="left"))
        after = known.filter(pl.col("date").is_between(high, end))
        if before.is_empty() or after.is_empty():
            continue
        new = after.filter(~pl.col("version").is_in(before["version"].unique().implode()))
        if new.height / after.height > MOSTLY:
            now = str(new["version"][0])
            first = known.filter(pl.col("version") == now, pl.col("date") >= begin)["date"].sort()[0]
            was = before["version"].mode().sort()[0]
            return f"recorded {column} changed from {was} to {now} on {first}"
    return ""


def prompts_replaced(asked: pl.DataFrame, begin: date, middle: date, end: date) -> tuple[float, str, set[str]]:
    """How much the prompt set changed at `middle`, in words where that is enough; the prompts on both sides."""
    recent = asked.filter(pl.col("date").is_between(middle, end))
    base = asked.filter(pl.col("date").is_between(begin, middle, closed="left"))
    if recent.is_empty() or base.is_empty():
        return 0.0, "", set()
    before, after = set(base["prompt_key"]), set(recent["prompt_key"])
    new = recent.filter(~pl.col("prompt_key").is_in(list(before))).height / recent.height
    gone = base.filter(~pl.col("prompt_key").is_in(list(after))).height / base.height
    if max(new, gone) <= PROMPTS_CHANGED:
        return new + gone, "", before & after
    words = f"{new:.0%} of recent answers are to new prompts, {gone:.0%} of earlier ones to prompts no longer asked"
    return new + gone, words, before & after


def on_same_prompts(
    series: DailySeries, mentions: pl.DataFrame, answers: pl.DataFrame, asked: pl.DataFrame, common: set[str]
) -> tuple[FloatArray, FloatArray] | None:
    """Values and weights of `series` from answers to the `common` prompts only, in the same days and columns."""
    kept = asked.filter(pl.col("prompt_key").is_in(list(common))).select("answer_id")
    part = daily_series(
        mentions.filter(pl.col("engine") == series.engine).join(kept, on="answer_id", how="semi"),
        answers.filter(pl.col("engine") == series.engine).join(kept, on="answer_id", how="semi"),
    )
    if not part:
        return None
    values, weights = np.full(series.values.shape, np.nan), np.zeros(series.weights.shape)
    rows = {day: at for at, day in enumerate(series.days)}
    at = np.array([rows[day] for day in part[0].days if day in rows], dtype=int)
    of = np.array([i for i, day in enumerate(part[0].days) if day in rows], dtype=int)
    columns = {name: i for i, name in enumerate(series.names)}
    for i, name in enumerate(part[0].names):
        if name in columns:
            values[at, columns[name]] = part[0].values[of, i]
            weights[at, columns[name]] = part[0].weights[of, i]
    return values, weights
