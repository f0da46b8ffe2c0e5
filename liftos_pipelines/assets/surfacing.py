"""Lift Surfacing reads: which brands each AI answer names, ranks and cites, and in what tone."""

import dagster as dg
import numpy as np
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.modules.sentiment.model import SentimentModel
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource, second_identifier
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.text import NameFinder

NO_BRAND = "brand in client.yaml"


@lift_asset(
    "surfacing/answer_mentions",
    ins=inputs("sources/answers"),
    # The tone of a mention comes from the client's sentiment model, so that must be decided first.
    deps=[["sentiment", "model"]],
    kinds={"polars"},
    code_version="1",
)
def answer_mentions(
    context: dg.AssetExecutionContext,
    answers: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether and where each AI answer names, ranks and cites the brand and each competitor, and in what tone."""
    client = client_of(context)
    if answers.is_empty() or client.brand is None:
        return skipped("surfacing/answer_mentions", "answers" if answers.is_empty() else NO_BRAND)
    model = sentiment_model.get(lake.get(), client.client)
    found = lift.answer_mentions(answers, client.brand.names(), lambda texts: net_sentiment(texts, model))
    own = found.filter(pl.col("own"))
    each = found.unique("answer_id")
    return result(
        found,
        answers=each.height,
        unreadable_answers=each["mentioned"].null_count(),
        mention_rate=own["mentioned"].mean(),
        hallucinated_citations=each["hallucinated_citations"].sum() if each["hallucinated_citations"].count() else None,
        sentiment=own["sentiment"].mean(),
    )


def net_sentiment(texts: list[str], model: SentimentModel) -> FloatArray:
    """Probability of positive minus probability of negative, NaN where a text cannot be scored."""
    from liftos_pipelines.modules.sentiment.scoring import score_mentions

    frame = pl.DataFrame(
        {"mention_id": [str(i) for i in range(len(texts))], "text": texts, "language": [None] * len(texts)},
        schema={"mention_id": pl.String, "text": pl.String, "language": pl.String},
    )
    scores = score_mentions(frame, model, NameFinder([]), second_identifier())
    net = scores.select((pl.col("p_positive") - pl.col("p_negative")).cast(pl.Float64).fill_null(float("nan")))
    return np.asarray(net.to_series().to_numpy(), dtype=float)
