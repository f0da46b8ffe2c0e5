"""The index as a level: what undoes the classifier's pull, beside the mean of probabilities that must fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.calibration import POOLED, SoftConfusion, soft_confusion
from liftos_pipelines.modules.sentiment.watch.correction import CLASS_VALUES, MOST, correction_for, corrections
from liftos_pipelines.modules.sentiment.watch.index import net_sentiment_by_day, scored_mentions, total_of
from liftos_pipelines.modules.sentiment.watch.level import against_ratings
from liftos_pipelines.tables import table

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def read(truth: Ints, rng: np.random.Generator, signal: float = 1.0, lean: float = 0.0) -> Array:
    """An unsure classifier: logits are noise and, by `signal`, the true class; `lean` towards positive."""
    logits = rng.normal(size=(truth.size, 3)) * 0.7
    logits[np.arange(truth.size), truth] += signal
    logits[:, 2] += lean
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def classes(net: float, size: int, rng: np.random.Generator) -> Ints:
    return rng.choice(3, size=size, p=[0.35 - net / 2, 0.3, 0.35 + net / 2])


def frames(
    p: Array, days: Ints, language: str = "en", rating: Array | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = [f"m{i}" for i in range(len(p))]
    mentions = pl.DataFrame(
        {
            "mention_id": ids, "published_at": [START + timedelta(days=int(day)) for day in days], "source": "x",
            "text": ids, "author": ids, "language": language, "campaign_id": "c", "url": None, "engagement": 1.0,
            "rating": rating if rating is not None else [None] * len(p),
        },
        schema=table("sources/mentions").columns,
    )  # fmt: skip
    names = ("p_negative", "p_neutral", "p_positive")
    scores = pl.DataFrame({"mention_id": ids, "language": language, "abstained": False}).with_columns(
        **{name: pl.Series(p[:, k]) for k, name in enumerate(names)}, topics=pl.lit(None, pl.List(pl.String))
    )
    return scores, mentions


def calibrated_on(size: int, rng: np.random.Generator, **kind: float) -> SoftConfusion:
    truth = np.repeat(np.arange(3), size)
    return soft_confusion(read(truth, rng, **kind), truth)


def test_a_mean_is_right_whatever_the_shares_where_the_mean_of_probabilities_is_not() -> None:
    rng = np.random.default_rng(1)
    known = correction_for("en", corrections({"en": calibrated_on(20_000, rng)}))
    assert known.kind == "full"
    for net in (-0.6, -0.3, 0.0, 0.3, 0.6):
        p = read(classes(net, 40_000, rng), rng)
        assert (p @ known.scores).mean() == pytest.approx(net, abs=0.03)
        if net:
            assert abs((p @ CLASS_VALUES).mean()) < 0.6 * abs(net)


@pytest.mark.parametrize("texts", [60, 600])
def test_intervals_hold_the_truth_from_deep_red_to_deep_green(texts: int) -> None:
    """Days whose true net goes from -.6 to .6, many calibrations: about nine in ten are held, and few uncorrected."""
    held = dummy = days = 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        confusion = {"en": calibrated_on(texts, rng, lean=0.3)}
        truth = np.linspace(-0.6, 0.6, 13)
        y = np.concatenate([classes(net, 80, rng) for net in truth])
        p = read(y, rng, lean=0.3)
        scores, mentions = frames(p, np.repeat(np.arange(13), 80))
        for rows, name in ((confusion, "own"), (None, "dummy")):
            index = total_of(net_sentiment_by_day(scored_mentions(scores, mentions, rows)).table).sort("date")
            inside = ((index["low"].to_numpy() <= truth) & (truth <= index["high"].to_numpy())).sum()
            held, dummy = (held + inside, dummy) if name == "own" else (held, dummy + inside)
        days += 13
    assert 0.86 <= held / days <= 0.95
    assert dummy / days < 0.5


def test_the_calibrations_error_is_in_the_level_and_not_in_the_days_own() -> None:
    rng = np.random.default_rng(5)
    few, many = calibrated_on(40, rng), calibrated_on(20_000, rng)
    p = read(classes(0.5, 4000, rng), rng)
    scores, mentions = frames(p, np.zeros(4000, dtype=np.int64))
    errors = []
    for confusion in (few, many):
        row = total_of(net_sentiment_by_day(scored_mentions(scores, mentions, {"en": confusion})).table).row(
            0, named=True
        )
        errors.append((row["se"], row["se_correction"]))
    assert errors[0][1] > 5 * errors[1][1]
    assert errors[0][0] == pytest.approx(errors[1][0], rel=0.5)


def test_the_stated_error_is_about_that_of_repeated_calibrations() -> None:
    rng = np.random.default_rng(6)
    p = read(classes(0.4, 30_000, rng), rng)
    means, stated = [], []
    for _ in range(200):
        known = corrections({"en": calibrated_on(100, rng)})["en"]
        means.append((p @ known.scores).mean())
        stated.append(known.error(p.mean(axis=0), float((p @ known.scores).var())))
    assert np.median(stated) == pytest.approx(np.std(means), rel=0.5)
    assert np.median(stated) > 0.8 * np.std(means)


def test_a_classifier_that_tells_nothing_apart_is_not_blown_up() -> None:
    blind = SoftConfusion(matrix=np.full((3, 3), 1 / 3) + np.diag([0.004] * 3), counts=np.full(3, 500.0))
    good = calibrated_on(5000, np.random.default_rng(2))
    known = corrections({POOLED: good, "hi": blind, "xx": SoftConfusion(matrix=np.eye(3), counts=np.zeros(3))})
    assert known["hi"].kind == "partial"
    assert np.abs(known["hi"].scores).max() <= MOST
    assert known["xx"].scores == pytest.approx(known[POOLED].scores)  # no text of its own: the pooled matrix
    assert correction_for("sv", known) is known[POOLED]
    few = SoftConfusion(matrix=np.eye(3), counts=np.array([5.0, 5.0, 5.0]))
    assert corrections({POOLED: few})[POOLED].kind == "none"
    assert corrections(None) == corrections({}) == {}


def test_the_row_says_how_far_it_was_corrected() -> None:
    rng = np.random.default_rng(3)
    p = read(classes(0.2, 30, rng), rng)
    scores, mentions = frames(p, np.zeros(30, dtype=np.int64))
    good = calibrated_on(5000, rng)
    blind = SoftConfusion(matrix=np.full((3, 3), 1 / 3) + np.diag([0.004] * 3), counts=np.full(3, 500.0))
    for confusion, kind in (({"en": good}, "full"), ({"en": blind}, "partial"), (None, "none")):
        row = total_of(net_sentiment_by_day(scored_mentions(scores, mentions, confusion)).table).row(0, named=True)
        assert row["correction"] == kind
        assert row["raw"] == pytest.approx((p[:, 2] - p[:, 0]).mean())


def test_the_clients_own_stars_say_how_it_is_read_better_than_other_peoples_texts() -> None:
    rng = np.random.default_rng(4)
    elsewhere = {"en": calibrated_on(5000, rng, signal=2.0)}  # texts that are easier than the client's
    truth = classes(0.5, 6000, rng)
    p = read(truth, rng, signal=1.0)
    stars = np.where(rng.random(6000) < 0.4, truth * 2.0 + 1.0, np.nan)
    scores, mentions = frames(p, np.zeros(6000, dtype=np.int64), rating=stars)
    mentions = mentions.with_columns(pl.col("rating").fill_nan(None))
    rated, foreign = (
        scored_mentions(scores, mentions, elsewhere),
        scored_mentions(scores, mentions.with_columns(rating=pl.lit(None, pl.Float64)), elsewhere),
    )
    assert "rated mentions" in rated.basis
    net = (truth == 2).mean() - (truth == 0).mean()
    assert rated.rows["net"].mean() == pytest.approx(net, abs=0.06)
    assert foreign.rows["net"].mean() < net - 0.15


def test_a_group_that_reads_otherwise_is_named_by_its_stars() -> None:
    rng = np.random.default_rng(7)
    truth = classes(0.1, 4000, rng)
    p = read(truth, rng)
    odd = np.arange(4000) % 10 == 0
    p[odd] = read(truth[odd], rng, lean=1.5)  # a campaign whose texts sound better than they are meant
    scores, mentions = frames(p, np.zeros(4000, dtype=np.int64), rating=truth * 2.0 + 1.0)
    mentions = mentions.with_columns(campaign_id=pl.Series(np.where(odd, "odd", "usual")))
    groups = against_ratings(scores, mentions)
    differing = groups.filter(pl.col("differs"))
    assert differing["name"].to_list() == ["odd"]
    assert differing["difference"].item() > 0.3
    assert against_ratings(scores, mentions.with_columns(rating=pl.lit(None, pl.Float64))).is_empty()
