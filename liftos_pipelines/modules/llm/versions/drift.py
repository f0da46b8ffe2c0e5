"""Whether what goes into a prompt, and what comes out, is still what it was: the newest week against the four before.

Calls of one day resemble one another, and days in a row do, so days are what is counted, for fewer where they last: a
quantity drifted when the means of the newest days differ from those before (Welch, 1947), wording when a classifier
that never saw a day tells which side it is from (Lopez-Paz and Oquab, 2017, Revisiting classifier two-sample tests,
with whole days held out). Benjamini-Hochberg over all tests of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy import stats

from liftos_pipelines.modules.llm.versions.arms import DAY, day_worth, persistence
from liftos_pipelines.stats import benjamini_hochberg
from liftos_pipelines.tables import table

RECENT, REFERENCE = timedelta(days=7), timedelta(days=28)
LEAST_RECENT_DAYS, LEAST_REFERENCE_DAYS = 4, 10
ALPHA = 0.05
LEAST_SHIFT = 0.5
"""In standard deviations between days of the reference: a smaller shift is no drift, however sure it is."""
LEAST_AUC = 0.6
MOST_TEXTS = 1500
"""Of each side that the classifier reads; a larger log is sampled, days in proportion."""
QUANTITIES = {
    "input length": pl.col("input").str.len_chars(),
    "context length": pl.col("context").str.len_chars(),
    "output length": pl.col("output").str.len_chars(),
    "output tokens": pl.col("output_tokens"),
    "latency": pl.col("latency_ms"),
    "groundedness": pl.col("groundedness"),
    "non-ASCII share of the input": pl.col("input").str.count_matches(r"[^\x00-\x7F]")
    / pl.col("input").str.len_chars(),
}
TEXTS = ("input", "output")
FOLDS = 4
ROUNDING = 1e-9
"""Of the largest value."""


def drift(calls: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The `llm/drift` table: per prompt and model, each quantity and the wording of inputs and outputs.

    `statistic` is a shift in standard deviations between days, or the classifier's AUC over held-out days;
    `drifted` needs both an adjusted p-value below .05 and a shift that matters. Null p-values: not enough days.

    Parameters
    ----------
    calls : of `prepared(with_metrics(...))`; seed : of the samples of texts
    """
    contract = table("llm/drift")
    newest = calls["called_at"].max()
    if not isinstance(newest, datetime):
        return contract.empty()
    edge = newest - RECENT
    window = calls.filter(pl.col("called_at") > edge - REFERENCE).with_columns(
        (pl.col("called_at") > edge).alias("_new")
    )
    rows = []
    for (name, model), group in window.group_by("prompt_name", "model", maintain_order=True):
        for quantity, statistic, p_value, least, days in _tests(group, seed):
            rows.append(
                {
                    "prompt_name": name,
                    "model": model,
                    "quantity": quantity,
                    "statistic": statistic,
                    "threshold": least,
                    "_p": p_value,
                    "n_recent_days": days[0],
                    "n_reference_days": days[1],
                    "as_of": newest,
                }
            )
    if not rows:
        return contract.empty()
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("statistic", "_p").cast(pl.Float64))
    adjusted = benjamini_hochberg(frame["_p"].fill_null(float("nan")).to_numpy())
    known = pl.Series("p_value_adjusted", adjusted).fill_nan(None)
    moved = pl.when(pl.col("quantity").str.contains("wording")).then("statistic").otherwise(pl.col("statistic").abs())
    judged = frame.with_columns(known).with_columns(
        drifted=(pl.col("p_value_adjusted") < ALPHA) & (moved >= pl.col("threshold"))
    )
    return contract.conform(judged.drop("_p"))


def _tests(group: pl.DataFrame, seed: int) -> Iterator[tuple[str, float | None, float | None, float, tuple[int, int]]]:
    for quantity, expression in QUANTITIES.items():
        daily = (
            group.select(DAY, "_new", expression.cast(pl.Float64).alias("value"))
            .drop_nulls()
            .group_by("_new", DAY)
            .agg(pl.col("value").mean())
        )
        new, old = _sides(daily)
        if new.height + old.height:
            yield (quantity, *_welch(new, old), LEAST_SHIFT, (new.height, old.height))
    for text in TEXTS:
        found = _wording(group.filter(pl.col(text).fill_null("").str.len_chars() > 0), text, seed)
        if found is not None:
            auc, scores = found
            new, old = _sides(scores)
            yield (f"{text} wording", auc, _welch(new, old)[1], LEAST_AUC, (new.height, old.height))


def _sides(daily: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The newest days and those before, each with its `value`."""
    return daily.filter("_new"), daily.filter(~pl.col("_new"))


def _welch(newest: pl.DataFrame, reference: pl.DataFrame) -> tuple[float | None, float | None]:
    """Shift of the mean of days in standard deviations of the reference days, and Welch's two-sided p-value, in which
    days that resemble the days before count for fewer."""
    if newest.height < LEAST_RECENT_DAYS or reference.height < LEAST_REFERENCE_DAYS:
        return (None, None)
    new, old = newest["value"].to_numpy(), reference["value"].to_numpy()
    spread, difference = float(old.std(ddof=1)), float(new.mean() - old.mean())
    # Means of equal values differ by rounding: what is below it is no spread and no difference.
    rounding = ROUNDING * float(np.abs(np.concatenate([new, old])).max())
    if spread <= rounding and new.std() <= rounding:
        return (0.0, 1.0) if abs(difference) <= rounding else (float("inf") * np.sign(difference), 0.0)
    worth = day_worth(persistence([newest, reference]))
    parts = [side.var(ddof=1) / (side.size * worth) for side in (new, old)]
    df = sum(parts) ** 2 / sum(
        part**2 / max(1.0, side.size * worth - 1) for part, side in zip(parts, (new, old), strict=True)
    )
    shift = difference / spread if spread > rounding else float("inf") * np.sign(difference)
    return (float(shift), float(2 * stats.t.sf(abs(difference) / np.sqrt(sum(parts)), df)))


def _wording(group: pl.DataFrame, text: str, seed: int) -> tuple[float, pl.DataFrame] | None:
    """AUC of telling the newest days' texts from the earlier, and the mean score of each held-out day."""
    new_days, old_days = (group.filter(pl.col("_new") == side)[DAY].n_unique() for side in (True, False))
    if new_days < LEAST_RECENT_DAYS or old_days < LEAST_REFERENCE_DAYS:
        return None
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    sampled = pl.concat(
        side if side.height <= MOST_TEXTS else side.sample(MOST_TEXTS, seed=seed)
        for side in (group.filter(pl.col("_new")), group.filter(~pl.col("_new")))
    ).select(DAY, "_new", text)
    read = HashingVectorizer(n_features=4096, ngram_range=(1, 2), binary=True, alternate_sign=False)
    features, label = read.transform(sampled[text].to_list()), sampled["_new"].to_numpy()
    # Whole days are held out, new and old ones in every fold: a day's own topic teaches nothing about that day.
    sides = (sorted(sampled.filter(pl.col("_new") == side)[DAY].unique()) for side in (True, False))
    fold = {day: place % FOLDS for side in sides for place, day in enumerate(side)}
    folds = np.array([fold[day] for day in sampled[DAY]])
    score = np.empty(label.size)
    for held in range(FOLDS):
        train, test = folds != held, folds == held
        model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=200).fit(features[train], label[train])
        # Folds are centred, so that scores of different models may be compared.
        raw = model.decision_function(features[test])
        score[test] = raw - np.mean([raw[label[test] == side].mean() for side in (True, False)])
    days = (
        sampled.select(DAY, "_new")
        .with_columns(pl.Series("score", score))
        .group_by(DAY, "_new")
        .agg(pl.col("score").mean().alias("value"))
    )
    return float(roc_auc_score(label, score)), days
