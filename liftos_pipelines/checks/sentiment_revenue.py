"""Gate of the revenue link: its words claim what its tests found, nothing more, and never that one makes the other."""

from __future__ import annotations

import re

import dagster as dg
import polars as pl

from liftos_pipelines.clients import clients_partitions
from liftos_pipelines.modules.sentiment.revenue import words
from liftos_pipelines.modules.sentiment.revenue.report import CORRELATION, GAIN, LADDER, POOLED
from liftos_pipelines.modules.sentiment.revenue.settings import ALPHA

CAUSAL_WORD = re.compile(words.FORBIDDEN, re.IGNORECASE)


@dg.asset_check(
    asset=dg.AssetKey(["sentiment", "revenue_link"]),
    name="words_match_the_tests",
    blocking=True,
    partitions_def=clients_partitions,
    description=(
        f"Every clause of the verdict has its test at {ALPHA:.0%} over all lags, prediction also beats every placebo, "
        "and no word says that sentiment makes the outcome."
    ),
)
def words_match_the_tests(revenue_link: pl.DataFrame) -> dg.AssetCheckResult:
    if revenue_link.is_empty():
        return dg.AssetCheckResult(passed=True, metadata={"rows": 0.0})
    unfounded = unfounded_claims(revenue_link)
    causal = causal_words(revenue_link)
    smallest = revenue_link["p_value"].drop_nulls()
    return dg.AssetCheckResult(
        passed=not unfounded and not causal,
        metadata={
            "claims_without_a_test": float(len(unfounded)),
            "causal_words": float(len(causal)),
            "details": "; ".join([*unfounded, *causal]) or "none",
            "smallest_p_value": float(smallest.min()) if smallest.len() else "unknown",  # type: ignore[arg-type]
            "alpha": ALPHA,
            "rows": float(revenue_link.height),
        },
    )


def unfounded_claims(link: pl.DataFrame) -> list[str]:
    """Clauses of the verdict that its own rows do not bear out."""
    said = link.filter(pl.col("statistic") == LADDER)["verdict"]
    if said.len() != 1:
        return [f"{said.len()} verdicts"]
    correlation = link.filter(pl.col("statistic") == CORRELATION)
    gain = link.filter(pl.col("statistic") == GAIN)
    placebos = link.filter(pl.col("statistic").str.starts_with(f"{GAIN}, placebo") & (pl.col("lag_days") > 0))
    pooled = link.filter(pl.col("statistic") == POOLED)
    ahead, behind, same = (pl.col("lag_days") > 0), (pl.col("lag_days") < 0), (pl.col("lag_days") == 0)

    def significant(rows: pl.DataFrame) -> bool:
        return rows.filter(pl.col("p_value") <= ALPHA).height > 0

    borne_out = {
        words.MOVED: significant(pooled),
        words.PREDICTS: significant(gain.filter(ahead & (pl.col("estimate") > 0)))
        and placebos.filter(pl.col("verdict") != "placebo beaten").is_empty()
        and significant(correlation.filter(ahead | same)),
        words.FOLLOWS: significant(correlation.filter(behind)) or significant(gain.filter(behind)),
        words.LEADS.split("{")[0]: significant(correlation.filter(ahead)),
        words.TOGETHER: significant(correlation.filter(same)),
    }
    return [f'"{clause.strip()}"' for clause, found in borne_out.items() if clause in said[0] and not found]


def causal_words(link: pl.DataFrame) -> list[str]:
    """Words of the table that say more than association."""
    texts = [*link["verdict"].drop_nulls().unique(), *link["words"].drop_nulls().unique()]
    return sorted({found.group(0).lower() for text in texts for found in CAUSAL_WORD.finditer(text)})
