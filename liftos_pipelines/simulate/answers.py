"""Answers of two AI assistants to a fixed panel of shopping prompts, with an algorithm change on one of them.

A prompt names a brand with its own probability: p ~ Beta(mean * k, (1 - mean) * k), k = 1 / ICC - 1, so that the
correlation of two answers to one prompt is the ICC (.7). Both engines share most of a prompt's leaning. On the
change's date one engine re-weighs: half of its leanings are drawn anew, the brand's mean falls, a competitor's
rises, and it cites shops' own pages less. What each answer says is kept row by row in `said`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.simulate.setting import BRAND, BRAND_DOMAIN, COMPETITORS, LAST_DAY, at, stream

ENGINES = ("aster", "quill")
CHANGED_ENGINE, CHANGE_DAY = "quill", date(2025, 11, 10)
FIRST_WAVE, DAYS_BETWEEN, RUNS = date(2025, 9, 1), 4, 2
ICC = 0.7
BRANDS: dict[str, str] = {BRAND: BRAND_DOMAIN, **COMPETITORS}
MEAN_BEFORE = {
    BRAND: 0.50,
    "Altura Peak": 0.55,
    "Brightpine": 0.42,
    "Trailmark": 0.35,
    "Kestrel & Co": 0.28,
    "Fjellgear": 0.20,
}
MEAN_AFTER = MEAN_BEFORE | {BRAND: 0.28, "Altura Peak": 0.70}
STRENGTH = {BRAND: 0.6, "Altura Peak": 0.9, "Brightpine": 0.3, "Trailmark": 0.1, "Kestrel & Co": 0.0, "Fjellgear": -0.3}
OWN_PAGE_CITED, OWN_PAGE_CITED_AFTER = 0.45, 0.20
ABSENCE = 0.05
THIRD_PARTIES = (
    "gearguide.example",
    "trailforum.example",
    "outdoorpress.example",
    "packlist.example",
    "hutnotes.example",
)

CATEGORIES = (
    "rain jacket",
    "hiking backpack",
    "two-person tent",
    "camping stove",
    "hiking boots",
    "down sleeping bag",
    "trekking poles",
    "merino base layer",
)
INTENTS = (
    "What is the best {} this year?",
    "Which brand of {} lasts longest?",
    "Recommend a {} under 200 euro.",
    "I need a {} for wet weather, what should I buy?",
    "Compare the most popular makes of {}.",
)
KINDS = (
    ("best-this-year", "discovery", "awareness"),
    ("lasts-longest", "trust", "consideration"),
    ("under-200-euro", "comparison", "decision"),
    ("wet-weather", "problem", "awareness"),
    ("compare-makes", "comparison", "consideration"),
)
"""What each of the questions is, in the words of the industry templates: name, intent, funnel stage."""
OPENINGS = (
    "Here are options for a {} that reviewers name often:",
    "These makes come up most for a {}:",
    "For a {} I would look at the following:",
    "A short list for a {}, best first:",
)
PRAISE = (
    "well rated for durability",
    "light and easy to pack",
    "good value for the price",
    "praised for its repair service",
    "a solid choice in the rain",
    "known for a comfortable fit",
)
CRITIQUE = ("some buyers report slow delivery", "sizes run small", "rather heavy", "the zip is criticised in tests")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """`rows` is what the client brings; `said` holds per answer and brand what it truly says; `rates` the true
    probability of a mention per engine, period, prompt and brand."""

    rows: list[dict[str, Any]]
    said: pl.DataFrame
    rates: pl.DataFrame


def prompts() -> list[tuple[str, str, str]]:
    """(prompt_id, category, prompt): five questions on each of eight categories."""
    return [
        (f"p-{c:02d}-{i}", category, intent.format(category))
        for c, category in enumerate(CATEGORIES)
        for i, intent in enumerate(INTENTS)
    ]


def template() -> dict[str, Any]:
    """The client's own `template.yaml`: its categories and the questions it asks, on top of its industry's."""
    asked = [
        {"id": name, "text": text.format("{category}"), "intent": intent, "stage": stage}
        for text, (name, intent, stage) in zip(INTENTS, KINDS, strict=True)
    ]
    return {"vocabulary": {"categories": list(CATEGORIES)}, "prompts": asked}


def generate(seed: int) -> Answers:
    rng = stream(seed, "answers")
    panel = prompts()
    before, after = _rates(rng, len(panel))
    rows: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    waves = [FIRST_WAVE + timedelta(days=day) for day in range(0, (LAST_DAY - FIRST_WAVE).days + 1, DAYS_BETWEEN)]
    for wave in waves:
        for e, engine in enumerate(ENGINES):
            changed = engine == CHANGED_ENGINE and wave >= CHANGE_DAY
            rates = (after if changed else before)[e]
            for q, (prompt_id, category, prompt) in enumerate(panel):
                for run in range(1, RUNS + 1):
                    answer_id = f"a-{wave:%Y%m%d}-{engine}-{prompt_id}-{run}"
                    row, facts = _answer(rng, category, rates[q], changed=changed)
                    rows.append(
                        {
                            "answer_id": answer_id,
                            "asked_at": at(wave, rng.uniform(21_600, 79_200)).isoformat(),
                            "engine": engine,
                            "prompt_id": prompt_id,
                            "prompt": prompt,
                            "run": str(run),
                            **row,
                        }
                    )
                    said += [
                        {"answer_id": answer_id, "engine": engine, "prompt_id": prompt_id, "date": wave, **fact}
                        for fact in facts
                    ]
    rates_rows = [
        {"engine": engine, "period": period, "prompt_id": panel[q][0], "brand": brand, "rate": float(rates[e][q, b])}
        for period, rates in (("before", before), ("after", after))
        for e, engine in enumerate(ENGINES)
        for q in range(len(panel))
        for b, brand in enumerate(BRANDS)
    ]
    return Answers(rows=rows, said=pl.DataFrame(said), rates=pl.DataFrame(rates_rows))


def _rates(rng: np.random.Generator, n_prompts: int) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Per engine (n_prompts, n_brands), before and after the change."""
    shape = (n_prompts, len(BRANDS))
    shared = rng.normal(size=shape)
    leanings = [0.85 * shared + np.sqrt(1 - 0.85**2) * rng.normal(size=shape) for _ in ENGINES]
    drawn_anew = np.where(rng.random(shape) < 0.5, rng.normal(size=shape), leanings[ENGINES.index(CHANGED_ENGINE)])
    before = [_beta(leaning, MEAN_BEFORE) for leaning in leanings]
    after = [
        _beta(drawn_anew, MEAN_AFTER) if engine == CHANGED_ENGINE else before[e] for e, engine in enumerate(ENGINES)
    ]
    return before, after


def _beta(leaning: NDArray[np.float64], means: dict[str, float]) -> NDArray[np.float64]:
    """Beta quantiles at each leaning, with the leanings of each brand spread evenly over the prompts.

    Even spread makes the panel's mean the brand's mean, so the planted change has its planted size on any seed.
    """
    ranks = (leaning.argsort(axis=0).argsort(axis=0) + 0.5) / leaning.shape[0]
    mean = np.array([means[brand] for brand in BRANDS])
    k = 1 / ICC - 1
    return np.asarray(stats.beta.ppf(ranks, mean * k, (1 - mean) * k))


def _answer(
    rng: np.random.Generator, category: str, rates: NDArray[np.float64], *, changed: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    names = list(BRANDS)
    named = [brand for brand, draw, rate in zip(names, rng.random(len(names)), rates, strict=True) if draw < rate]
    named.sort(key=lambda brand: -(STRENGTH[brand] + rng.gumbel() * 0.6))
    absent = None
    if BRAND not in named and rng.random() < ABSENCE / (1 - MEAN_BEFORE[BRAND]):
        absent = BRAND
    lines, citations, facts = [], [], []
    style = rng.random()
    own_page = OWN_PAGE_CITED_AFTER if changed else OWN_PAGE_CITED
    cited: set[str] = set()
    for rank, brand in enumerate(named, start=1):
        negative = rng.random() < 0.12
        remark = str(rng.choice(CRITIQUE if negative else PRAISE))
        if rng.random() < own_page:
            citations.append(f"https://{BRANDS[brand]}/{category.replace(' ', '-')}")
            cited.add(brand)
        lines.append(
            f"{rank}. **{brand}** - {remark}."
            if style < 0.6
            else f"- {brand}: {remark}."
            if style < 0.8
            else f"{brand} is {remark}."
            if not negative
            else f"{brand} is often named, though {remark}."
        )
        facts.append({"brand": brand, "mentioned": True, "rank": rank, "negative": negative})
    others = rng.choice(THIRD_PARTIES, size=int(rng.integers(1, 4)), replace=False)
    citations += [f"https://{site}/{category.replace(' ', '-')}-{int(rng.integers(1, 9))}" for site in others]
    rng.shuffle(citations)
    facts += [
        {"brand": brand, "mentioned": False, "rank": None, "negative": False} for brand in names if brand not in named
    ]
    for fact in facts:
        fact["cited"] = fact["brand"] in cited
        fact["said_absent"] = fact["brand"] == absent
    opening = (
        str(rng.choice(OPENINGS)).format(category)
        if named
        else (f"For a {category} it depends on fit and budget; look at recent tests before you decide.")
    )
    text = opening + ("\n" if style < 0.8 else " ") + ("\n" if style < 0.8 else " ").join(lines)
    if absent:
        text += f"\nI could not find any {category} from {absent} in the sources I checked."
    return {"text": text.strip(), "citations": citations}, facts


def truth(world: Answers) -> dict[str, Any]:
    """Mention rates by engine and period (true over this panel), top-1 rates as realised, and the change."""
    by = ["engine", "period", "brand"]
    mean = world.rates.group_by(by, maintain_order=True).agg(pl.col("rate").mean())
    period = pl.when(pl.col("date") < CHANGE_DAY).then(pl.lit("before")).otherwise(pl.lit("after"))
    realised = (
        world.said.with_columns(period=period)
        .group_by(by, maintain_order=True)
        .agg(
            mention_share=pl.col("mentioned").mean(),
            top1_share=(pl.col("rank") == 1).fill_null(False).mean(),
            top3_share=(pl.col("rank") <= 3).fill_null(False).mean(),
            cited_share=pl.col("cited").mean(),
        )
    )
    rates: dict[str, Any] = {}
    for row in mean.join(realised, on=by, how="left", maintain_order="left").iter_rows(named=True):
        rates.setdefault(row["engine"], {}).setdefault(row["period"], {})[row["brand"]] = {
            "mention_rate": row["rate"],
            "mention_share": row["mention_share"],
            "top1_share": row["top1_share"],
            "top3_share": row["top3_share"],
            "cited_share": row["cited_share"],
        }
    ranks = world.said.filter(pl.col("brand") == BRAND).sort("answer_id")["rank"]
    return {
        "answers": len(world.rows),
        "prompts": len(prompts()),
        "icc": ICC,
        "algorithm_change": {"engine": CHANGED_ENGINE, "date": CHANGE_DAY.isoformat()},
        "rates": rates,
        "brand_rank_digits": "".join(str(rank or 0) for rank in ranks),
        "brand_rank_digits_are": "one digit an answer in order of answer_id: the brand's rank, 0 where not named",
        "absence_statements": world.said.filter("said_absent")["answer_id"].to_list(),
    }
