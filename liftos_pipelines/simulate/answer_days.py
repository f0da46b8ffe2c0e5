"""Days of an AI assistant's answers as counts, without their texts: for measuring detectors on many engine-years.

A prompt names a brand with its own probability p ~ Beta(mean k, (1 - mean) k), k = 1 / ICC - 1. Day noise, of each
brand and common to all, may carry over from day to day. A change is added on the logit of the mention rate, and
prompts keep their rank; or on the logit of every prompt, which moves the rate far less where prompts are decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, logit

Array = NDArray[np.float64]
FIRST_DAY = date(2024, 1, 1)
FEATURES = ("log_words", "list_share", "citations_per_answer", "domain_entropy", "domain_overlap", "refusal_share")
_FEATURE_LEVEL = np.array([5.0, 0.7, 4.0, 3.0, 0.35, 0.03])
_FEATURE_SPREAD = np.array([0.5, 0.46, 1.5, 1.2, 0.25, 0.17])
"""Level, and standard deviation of one answer."""

Change = Literal["none", "every brand", "same way", "a fifth", "one brand", "citations", "length"]


@dataclass(frozen=True, kw_only=True)
class AnswerDays:
    """`values` : (n_days, n_series), the day's means; `weights` : (n_days,), answers; brands are the first columns."""

    days: tuple[date, ...]
    values: Array
    weights: Array
    names: tuple[str, ...]
    brands: int


def answer_days(
    seed: int,
    *,
    days: int = 365,
    every: int = 1,
    brands: int = 40,
    prompts: int = 30,
    runs: int = 2,
    icc: float = 0.8,
    sd: float = 0.15,
    carry: float = 0.0,
    common_sd: float = 0.0,
    weekday_sd: float = 0.0,
    missing: float = 0.0,
    drift: float = 0.0,
    change: Change = "none",
    change_day: int | None = None,
    size: float = 0.3,
    on: Literal["rate", "prompt"] = "rate",
) -> AnswerDays:
    """One engine over `days` calendar days, asked on every `every`-th of them.

    Parameters
    ----------
    sd, common_sd : day noise of each brand and of all brands together (logit); features have `sd` of an answer's spread
    carry : share of the noise that is there on the next day, per day
    weekday_sd : habit of weekdays (logit), by brand
    missing : share of days on which nothing was asked
    drift : sd over brands of a steady slope (logit a year)
    change, change_day, size, on : from `change_day` on; "every brand" moves brands by N(0, size), "same way" all by
        `size`, "a fifth" every fifth brand and "one brand" the first of middling frequency by -`size`; "citations" and
        "length" move those features by `size` of one answer's spread
    """
    structure, rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    k = 1 / icc - 1
    mean = expit(structure.normal(-1.6, 0.9, brands))
    rank = structure.random((prompts, brands))
    noise = _noise(rng, days, brands + len(FEATURES), sd, carry)
    noise[:, :brands] += _noise(rng, days, 1, common_sd, carry)
    noise[:, :brands] += structure.normal(0, weekday_sd, (7, brands))[np.arange(days) % 7] if weekday_sd else 0
    noise[:, :brands] += np.arange(days)[:, None] / 365.25 * structure.normal(0, drift, brands) if drift else 0
    shift = np.zeros(brands + len(FEATURES))
    middling = np.argsort(-mean)[: max(2, brands // 2)]
    if change == "every brand":
        shift[:brands] = structure.normal(0, size, brands)
    elif change == "same way":
        shift[:brands] = size
    elif change == "a fifth":
        shift[structure.choice(brands, max(1, brands // 5), replace=False)] = -size
    elif change == "one brand":
        shift[structure.choice(middling)] = -size
    elif change == "citations":
        shift[brands + 2 : brands + 5] = -size
    elif change == "length":
        shift[brands] = size
    late = np.arange(days) >= (days if change_day is None else change_day)
    before = after = _leaning(rank, mean, k)
    if on == "rate":
        after = _leaning(rank, expit(logit(mean) + shift[:brands]), k)
        shift[:brands] = 0
    moved = noise + late[:, None] * shift
    asked = np.flatnonzero((np.arange(days) % every == 0) & (rng.random(days) >= missing))
    named = np.empty((asked.size, brands))
    for first in range(0, asked.size, 100):
        part = asked[first : first + 100]
        rates = expit(np.where(late[part, None, None], after, before) + moved[part, None, :brands])
        named[first : first + 100] = rng.binomial(runs, rates).sum(axis=1) / (prompts * runs)
    answers = prompts * runs
    features = _FEATURE_LEVEL + _FEATURE_SPREAD * (
        moved[asked, brands:] + rng.normal(0, 1 / np.sqrt(answers), (asked.size, len(FEATURES)))
    )
    return AnswerDays(
        days=tuple(FIRST_DAY + timedelta(days=int(day)) for day in asked),
        values=np.concatenate([named, features], axis=1),
        weights=np.full(asked.size, float(answers)),
        names=(*(f"brand {i + 1}" for i in range(brands)), *FEATURES),
        brands=brands,
    )


def _leaning(rank: Array, mean: Array, k: float) -> Array:
    """Logit of each prompt's probability of naming each brand."""
    return np.asarray(logit(np.clip(betaincinv(mean * k, (1 - mean) * k, rank), 1e-6, 1 - 1e-6)))


def _noise(rng: np.random.Generator, days: int, width: int, sd: float, carry: float) -> Array:
    fresh = rng.normal(0, sd, (days, width)) if sd else np.zeros((days, width))
    if carry:
        scale = np.sqrt(1 - carry**2)
        for day in range(1, days):
            fresh[day] = carry * fresh[day - 1] + scale * fresh[day]
    return fresh
