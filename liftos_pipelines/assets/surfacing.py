"""Lift Surfacing reads: which brands each AI answer names, ranks and cites, and in what tone."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.modules.sentiment.reading.model import SentimentModel
from liftos_pipelines.modules.surfacing.answers.mention_plot import mention_rates, mention_rates_plot
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource, second_identifier
from liftos_pipelines.stats import FloatArray

NO_BRAND = "brand in client.yaml"


@lift_asset(
    "surfacing/answer_mentions",
    ins=inputs("sources/answers"),
    # The tone of a mention comes from the client's sentiment model, so that must be decided first.
    deps=[["sentiment", "model"]],
    kinds={"polars"},
    code_version="2",
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
    found = lift.answer_mentions(
        answers, client.brand.names(), lambda texts: net_sentiment(texts, model), now=datetime.now(UTC)
    )
    own = found.filter(pl.col("own"))
    each = found.unique("answer_id")
    rates = mention_rates(found)
    return result(
        found,
        answers=each.height,
        unreadable_answers=each["reason"].count(),
        reasons=each.drop_nulls("reason").group_by("reason").len("answers").sort("answers", "reason", descending=True),
        mention_rate=own["mentioned"].mean(),
        hallucinated_citations=each["hallucinated_citations"].sum() if each["hallucinated_citations"].count() else None,
        invalid_citations=each["invalid_citations"].sum() if each["invalid_citations"].count() else None,
        sentiment=own["sentiment"].mean(),
        brands=rates,
        mention_rate_by_brand=dg.MetadataValue.md(mention_rates_plot(rates)),
    )


def net_sentiment(texts: list[str], model: SentimentModel) -> FloatArray:
    """Probability of positive minus probability of negative by the fast tier, NaN where it cannot score a text."""
    from liftos_pipelines.modules.sentiment.reading import scoring
    from liftos_pipelines.modules.sentiment.reading.encoder import PackagedReader

    reading = scoring.Reading(packaged=PackagedReader(model=model), fallback=second_identifier())
    return scoring.net_sentiment(texts, reading)
