"""Where competitors are found and the brand is not: prompts, and the sources that such answers cite."""

from __future__ import annotations

import numpy as np
import polars as pl

from liftos_pipelines.modules.surfacing.answers.answer import parse_answer
from liftos_pipelines.modules.surfacing.answers.web import belongs_to
from liftos_pipelines.modules.surfacing.visibility.counts import count_answers, readable
from liftos_pipelines.modules.surfacing.visibility.intervals import (
    LEVEL,
    effective_answers,
    ratio_intervals,
    score_interval,
)
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL, table
from liftos_pipelines.text import Name

MIN_COMPETITOR_RATE = 0.5
"""A competitor stands for a prompt's answers when at least half of them name it."""
MOST_BRAND_RATE = 0.5
"""A prompt is no gap when the brand is named in half of its answers or more."""


def prompt_gaps(mentions: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Prompts of the newest month whose answers name a competitor more often than the brand.

    The table `surfacing/prompt_gaps`: per engine (and `all`) and prompt the brand's rate with a 90 % interval, the
    leading competitor and its rate; `never` where no answer names the brand. The widest gaps come first.

    Answers to one prompt are repeats of one question: their interval is that of independent runs, about this prompt
    and not about prompts at large.

    Parameters
    ----------
    mentions : the table `surfacing/answer_mentions`
    answers : the table `sources/answers`, for the wording
    """
    contract = table("surfacing/prompt_gaps")
    months = list(count_answers(mentions))
    if not months or not any(months[-1][0].own):
        return contract.empty()
    wording = dict(answers.group_by("prompt_id").agg(pl.col("prompt").drop_nulls().last()).iter_rows())
    rows = []
    for counts in months[-1]:
        own = counts.own.index(True)
        others = [b for b, mine in enumerate(counts.own) if not mine]
        if not others:
            continue
        asked, named = counts.units["answers"][:, own], counts.units["mentioned"]
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = named / counts.units["answers"]
        low, high = score_interval(rates[:, own], asked)
        best = np.array(others)[np.nan_to_num(rates[:, others], nan=-1.0).argmax(axis=1)]
        for p in np.flatnonzero(asked > 0):
            rate, leading = float(rates[p, own]), float(rates[p, best[p]])
            if leading < MIN_COMPETITOR_RATE or rate >= MOST_BRAND_RATE or leading <= rate:
                continue
            rows.append(
                {
                    "period": counts.period, "engine": counts.engine, "prompt_id": counts.prompts[p],
                    "prompt": wording.get(counts.prompts[p]), "brand": counts.brands[own], "brand_rate": rate,
                    "low": float(low[p]), "high": float(high[p]), "competitor": counts.brands[best[p]],
                    "competitor_rate": leading, "competitors": int((named[p, others] > 0).sum()),
                    "answers": int(asked[p]), "never": rate == 0.0,
                }
            )  # fmt: skip
    frame = pl.DataFrame(rows, schema=contract.columns)
    widest = (pl.col("competitor_rate") - pl.col("brand_rate")).alias("gap")
    return contract.conform(frame.sort("period", "engine", widest, "prompt_id", descending=[False, False, True, False]))


def source_gaps(mentions: pl.DataFrame, answers: pl.DataFrame, brands: list[Name]) -> pl.DataFrame:
    """Domains that answers of the newest month cite when they name competitors and not the brand.

    The table `surfacing/source_gaps`: per engine (and `all`) and domain, the answers with such a gap that cite it,
    their share among all gap answers with a prompt-clustered 90 % interval, and the share of the answers naming the
    brand that cite it, for comparison. `lift` is the ratio of the two shares: a source that is cited as often when the
    brand is named explains nothing. Tracked brands' own domains say whose they are in `owner`.

    An association: a page there need not change an answer.
    """
    contract = table("surfacing/source_gaps")
    known = readable(mentions)
    if known.is_empty() or not brands:
        return contract.empty()
    period = str(known["period"].max())
    states = (
        known.filter(pl.col("period") == period)
        .group_by("answer_id", "engine", "prompt_id", maintain_order=True)
        .agg(
            named=(pl.col("mentioned") & pl.col("own")).any(),
            gap=(pl.col("mentioned") & ~pl.col("own")).any() & ~(pl.col("mentioned") & pl.col("own")).any(),
        )
    )
    cited = _cited_hosts(answers.join(states.select("answer_id"), on="answer_id", how="semi"))
    # Answers without a recorded source cannot show which they miss.
    states = states.join(cited.select("answer_id").unique(), on="answer_id", how="semi")
    rows = []
    for engine in [*sorted(states["engine"].unique().to_list()), ALL]:
        part = states if engine == ALL else states.filter(pl.col("engine") == engine)
        rows += _domains(part, cited, brands, str(engine), period)
    frame = pl.DataFrame(rows, schema=contract.columns)
    return contract.conform(frame.sort("engine", "answers", "domain", descending=[False, True, False]))


def _cited_hosts(answers: pl.DataFrame) -> pl.DataFrame:
    pairs = [
        (answer_id, host)
        for answer_id, text, citations in answers.select("answer_id", "text", "citations").iter_rows()
        for host in sorted(set(parse_answer(text, citations).cited_pages.values()))
    ]
    return pl.DataFrame(pairs, schema={"answer_id": pl.String(), "domain": pl.String()}, orient="row")


def _domains(
    states: pl.DataFrame, cited: pl.DataFrame, brands: list[Name], engine: str, period: str
) -> list[dict[str, object]]:
    gap_answers, named_answers = int(states["gap"].sum()), int(states["named"].sum())
    if not gap_answers:
        return []
    joined = cited.join(states, on="answer_id", how="inner")
    counts = joined.group_by("domain").agg(
        answers=pl.col("gap").sum(), beside=pl.col("named").sum(), prompts=pl.col("prompt_id").filter("gap").n_unique()
    )
    counts = counts.filter(pl.col("answers") > 0).sort("domain")
    prompts = sorted(states.filter("gap")["prompt_id"].unique().to_list())
    domains = counts["domain"].to_list()
    shape = (len(prompts), len(domains))
    hits = joined.filter(pl.col("gap") & pl.col("domain").is_in(domains))
    above = np.zeros(shape)
    np.add.at(
        above,
        (
            hits["prompt_id"].replace_strict(prompts, range(shape[0]), return_dtype=pl.Int64).to_numpy(),
            hits["domain"].replace_strict(domains, range(shape[1]), return_dtype=pl.Int64).to_numpy(),
        ),
        1.0,
    )
    per_prompt = dict(states.filter("gap").group_by("prompt_id").len().iter_rows())
    below: FloatArray = np.repeat(np.array([[float(per_prompt[prompt])] for prompt in prompts]), shape[1], axis=1)
    share, low, high, icc = ratio_intervals(above, below, LEVEL)
    worth = effective_answers(below, icc)
    rows: list[dict[str, object]] = []
    for d, (domain, answers, beside, asked) in enumerate(counts.iter_rows()):
        other = beside / named_answers if named_answers else None
        rows.append(
            {
                "period": period, "engine": engine, "domain": domain, "answers": answers, "prompts": asked,
                "gap_answers": gap_answers, "share": float(share[d]), "low": _known(low[d]), "high": _known(high[d]),
                "share_when_named": other, "lift": float(share[d]) / other if other else None,
                "effective_answers": _known(worth[d]),
                "owner": next((name.name for name in brands if belongs_to(domain, name.domains)), None),
            }
        )  # fmt: skip
    return rows


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
