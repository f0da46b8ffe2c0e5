"""Small worlds of answers with known truth, as `surfacing/answer_mentions` and `sources/answers` frames."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
from scipy.special import expit

from liftos_pipelines.modules.surfacing.answers.mentions import EXTRA_COLUMNS
from liftos_pipelines.tables import table

BRANDS = ("Acme", "Globex", "Initech", "Hooli", "Umbrella")


def mention_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Mentions from partial rows: what is not said is null."""
    columns = table("surfacing/answer_mentions").columns | EXTRA_COLUMNS
    full = [dict.fromkeys(columns) | row for row in rows]
    return pl.DataFrame(full, schema=columns)


def daily_answers(
    seed: int,
    *,
    days: int = 90,
    engines: tuple[str, ...] = ("one",),
    prompts: int = 20,
    runs: int = 2,
    change_day: int | None = None,
    shift: dict[str, dict[str, float]] | None = None,
    prompts_change: int | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers every day to a fixed panel; from `change_day`, `shift[engine][brand]` is added on the logit.

    From `prompts_change` on, half of the prompts are replaced by others about which brands differ.
    """
    rng = np.random.default_rng(seed)
    level = rng.normal(-0.5, 0.5, len(BRANDS))
    leaning = rng.normal(0, 2, (2 * prompts, len(BRANDS)))
    mentions: list[dict[str, object]] = []
    answers: list[dict[str, object]] = []
    for day in range(days):
        moment = datetime(2025, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
        noise = rng.normal(0, 0.1, len(BRANDS))
        for engine in engines:
            extra = np.zeros(len(BRANDS))
            if change_day is not None and day >= change_day and shift:
                extra = np.array([shift.get(engine, {}).get(brand, 0.0) for brand in BRANDS])
            replaced = prompts_change is not None and day >= prompts_change
            for q in range(prompts):
                p = q + prompts if replaced and q % 2 == 0 else q
                swing = 2.0 * np.sign(leaning[p]) if replaced and q % 2 == 0 else 0.0
                rates = expit(level + leaning[p] + swing + noise + extra)
                for run in range(runs):
                    answer_id = f"{engine}-{day}-{q}-{run}"
                    named = rng.random(len(BRANDS)) < rates
                    mentions += [
                        {
                            "answer_id": answer_id, "engine": engine, "prompt_id": f"p{p}", "brand": brand,
                            "mentioned": bool(hit), "asked_at": moment, "own": b == 0, "rank": 1 if hit else None,
                            "words": int(60 + 20 * named.sum() + rng.integers(0, 20)),
                            "citations": 3, "brand_citations": 0,
                        }
                        for b, (brand, hit) in enumerate(zip(BRANDS, named, strict=True))
                    ]  # fmt: skip
                    answers.append(
                        {
                            "answer_id": answer_id, "asked_at": moment, "engine": engine, "prompt_id": f"p{p}",
                            "prompt": f"question {p}", "run": str(run), "text": "x",
                            "citations": [f"https://s{i}.example" for i in rng.choice(12, 3, replace=False)],
                        }
                    )  # fmt: skip
    return mention_frame(mentions), table("sources/answers").conform(pl.DataFrame(answers))


def day_of(index: int) -> date:
    return date(2025, 1, 1) + timedelta(days=index)
