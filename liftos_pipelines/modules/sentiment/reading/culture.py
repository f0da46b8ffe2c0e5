"""Cultural conventions as measured things: how often people laugh, honour, stretch and use emoji, and what it means.

A convention that says "pleased" in one language may say nothing in another. Where labels exist, the table says what
each convention does to the share of positive texts there, with an interval; where they do not, rates alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liftos_pipelines.modules.sentiment.reading.model import LABELS
from liftos_pipelines.modules.sentiment.reading.normalise import LAUGHTER, normalise
from liftos_pipelines.stats import wilson_interval

Flags = NDArray[np.bool_]

CONVENTIONS = ("laughter", "honorific", "elongation", "emoji")
LEVEL = 0.90
SEED = 20_240_102
_REPLICATES = 2_000
_EMOJI = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]|~smile|~heart|~frown")
# Forms of address and titles, as whole words of the normalised text.
_HONORIFICS = {
    "ar": "حضرتك حضرة حضرتكم استاذ أستاذ الاستاذ الأستاذ استاذي دكتور الدكتور شيخ الشيخ شيخنا سيدي سيدتي سعادة معالي "
    "فضيلة سمو جلالة",
    "de": "herr frau herrn dr prof professor doktor geehrte geehrter geehrten hochgeehrte gnädige",
    "en": "mr mrs ms sir madam ma'am maam dr prof professor lord lady hon",
    "es": "señor señora señorita sr sra srta don doña usted ustedes dr dra licenciado",
    "fr": "monsieur madame mademoiselle m mr mme mlle messieurs mesdames maître docteur",
    "hi": "ji jee sir sahab saab sahib saheb shri shree shrimati madam mam bhaiji saahab",
    "it": "signor signora signore signorina sig dott dottore dottoressa prof onorevole avvocato",
    "pt": "senhor senhora senhorita sr sra dr dra dona doutor doutora excelência",
}
_HONORIFIC_SETS = {code: frozenset(words.split()) for code, words in _HONORIFICS.items()}


def conventions(texts: Sequence[str], languages: Sequence[str]) -> dict[str, Flags]:
    """Which texts use each of `CONVENTIONS`; (n,) each. Honorifics are those of the text's own language."""
    flags = {name: np.zeros(len(texts), dtype=bool) for name in CONVENTIONS}
    for row, (text, language) in enumerate(zip(texts, languages, strict=True)):
        plain = normalise(text)
        words = set(plain.split(" "))
        flags["laughter"][row] = LAUGHTER in words
        flags["elongation"][row] = "~long" in words
        flags["emoji"][row] = _EMOJI.search(plain) is not None
        flags["honorific"][row] = not words.isdisjoint(_HONORIFIC_SETS.get(language, frozenset()))
    return flags


def convention_rates(texts: Sequence[str], languages: Sequence[str]) -> pl.DataFrame:
    """How often each convention is used, by language, in texts without labels.

    Returns
    -------
    language, convention, n, rate, low, high: 90 % interval of the rate (Wilson 1927), as if texts were independent.
    Honorifics are known for the eight languages of the classifier and null elsewhere.
    """
    flags = conventions(texts, languages)
    codes = np.asarray(languages, dtype=object)
    rows = []
    for code in sorted(set(languages)):
        mine = codes == code
        n = int(mine.sum())
        for name in CONVENTIONS:
            known = name != "honorific" or code in _HONORIFICS
            rate = float(flags[name][mine].mean()) if known else None
            low, high = wilson_interval(rate * n, n) if rate is not None else (None, None)
            rows.append(
                {"language": code, "convention": name, "n": n, "rate": rate, "low": low, "high": high}
            )  # fmt: skip
    return pl.DataFrame(rows, schema=_RATES)


def convention_table(texts: Sequence[str], labels: Sequence[str], languages: Sequence[str]) -> pl.DataFrame:
    """What each convention says of sentiment, by language: P(positive | convention) - P(positive), and the same for
    negative.

    Returns
    -------
    language, convention, n, with_convention (count), rate, p_positive, positive_lift with low and high, negative_lift
    with low and high: 90 % intervals by bootstrap over texts. Lifts are null where fewer than ten texts use it.

    Raises
    ------
    ValueError : a label that is not negative, neutral or positive, naming it
    """
    wrong = sorted(set(labels) - set(LABELS))
    if wrong:
        raise ValueError(f"convention_table: label {wrong[0]!r} is not one of {', '.join(LABELS)}")
    flags = conventions(texts, languages)
    y = np.asarray([LABELS.index(label) for label in labels])
    codes = np.asarray(languages, dtype=object)
    rng = np.random.default_rng(SEED)
    rows: list[dict[str, Any]] = []
    for code in sorted(set(languages)):
        mine = codes == code
        for name in CONVENTIONS:
            if name == "honorific" and code not in _HONORIFICS:
                continue
            used = flags[name][mine]
            row: dict[str, Any] = {
                "language": code, "convention": name, "n": int(mine.sum()), "with_convention": int(used.sum()),
                "rate": float(used.mean()), "p_positive": float((y[mine] == 2).mean()),
            }  # fmt: skip
            for side, of in (("positive", 2), ("negative", 0)):
                lift, low, high = _lift(used, y[mine] == of, rng)
                row |= {f"{side}_lift": lift, f"{side}_low": low, f"{side}_high": high}
            rows.append(row)
    return pl.DataFrame(rows, schema=_TABLE)


def class_priors(labels: Sequence[str], groups: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Class shares by group (language, source, region), as priors for texts of that group to be.

    Returns
    -------
    the group's columns, n, and p_negative, p_neutral, p_positive: posterior mean under a Dirichlet prior of one text
    spread as all labels are (so a group with few texts is drawn to the whole)
    """
    frame = pl.DataFrame({**{name: list(values) for name, values in groups.items()}, "label": list(labels)})
    overall = {label: sum(one == label for one in labels) / max(len(labels), 1) for label in LABELS}
    counts = frame.group_by(list(groups), maintain_order=True).agg(
        pl.len().alias("n"), *((pl.col("label") == label).sum().alias(label) for label in LABELS)
    )
    shares = [((pl.col(label) + overall[label]) / (pl.col("n") + 1)).alias(f"p_{label}") for label in LABELS]
    return counts.select(*groups, "n", *shares).sort(list(groups))


def language_profile(
    texts: Sequence[str], languages: Sequence[str], mixed: Sequence[bool | None], figures: Mapping[str, Any]
) -> pl.DataFrame:
    """One row a language: how its mentions are written, and how far the classifier can be trusted in it.

    `figures` are the model's: its calibration error and net-sentiment bias on left-out texts of that language; null for
    a language without any.
    """
    rates = convention_rates(texts, languages)
    measured = figures.get("out_of_fold", {}).get("by_language", {})
    frame = pl.DataFrame(
        {"language": list(languages), "mixed": list(mixed)}, schema={"language": pl.String, "mixed": pl.Boolean}
    )
    wide = frame.group_by("language").agg(n=pl.len(), share_mixed=pl.col("mixed").mean()).sort("language")
    for name in CONVENTIONS:
        one = rates.filter(pl.col("convention") == name).select("language", pl.col("rate").alias(f"{name}_rate"))
        wide = wide.join(one, on="language", how="left")
    said = [measured.get(code, {}) for code in wide["language"]]
    return wide.with_columns(
        pl.Series(column, [one.get(key) for one in said], dtype=pl.Float64) for column, key in _FROM_FIGURES.items()
    )


_FROM_FIGURES = {
    "model_macro_f1": "macro_f1",
    "model_calibration_error": "ece_debiased",
    "model_net_bias": "net_sentiment_bias",
    "model_net_bias_low": "net_sentiment_bias_low",
    "model_net_bias_high": "net_sentiment_bias_high",
}
_RATES = {
    "language": pl.String, "convention": pl.String, "n": pl.Int64, "rate": pl.Float64, "low": pl.Float64,
    "high": pl.Float64,
}  # fmt: skip
_TABLE = {
    "language": pl.String, "convention": pl.String, "n": pl.Int64, "with_convention": pl.Int64, "rate": pl.Float64,
    "p_positive": pl.Float64, "positive_lift": pl.Float64, "positive_low": pl.Float64, "positive_high": pl.Float64,
    "negative_lift": pl.Float64, "negative_low": pl.Float64, "negative_high": pl.Float64,
}  # fmt: skip
_FEWEST = 10


def _lift(used: Flags, of_class: Flags, rng: np.random.Generator) -> tuple[float | None, float | None, float | None]:
    if used.sum() < _FEWEST:
        return None, None, None
    # Drawing texts again is drawing the four cells of the table again.
    cells = np.asarray(
        [(used & of_class).sum(), (used & ~of_class).sum(), (~used & of_class).sum(), (~used & ~of_class).sum()]
    )
    n = int(cells.sum())
    drawn = rng.multinomial(n, cells / n, size=_REPLICATES).astype(float)
    both = drawn[:, 0] + drawn[:, 1]
    drawn, both = drawn[both > 0], both[both > 0]
    lifts = drawn[:, 0] / both - (drawn[:, 0] + drawn[:, 2]) / n
    low, high = np.quantile(lifts, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(cells[0] / (cells[0] + cells[1]) - of_class.mean()), float(low), float(high)
