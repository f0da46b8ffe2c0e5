"""Lift Sentiment by language: how people write there, and how far the classifier can be trusted."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.sentiment.culture import language_profile
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource


@lift_asset(
    "sentiment/culture", ins=inputs("sentiment/mention_scores", "sources/mentions"), kinds={"polars"}, code_version="1"
)
def culture(
    context: dg.AssetExecutionContext,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """By language: mentions, share that mixes two languages, how often people laugh, honour, stretch words and use
    emoji, and the classifier's macro-F1, calibration error and net-sentiment bias on texts it did not learn from."""
    if mentions.is_empty():
        return skipped("sentiment/culture", "mentions")
    model = sentiment_model.get(lake.get(), client_of(context).client)
    mixed = pl.col("mixed") if "mixed" in mention_scores.columns else pl.lit(None, dtype=pl.Boolean).alias("mixed")
    read = mentions.select("mention_id", "text").join(
        mention_scores.select("mention_id", "language", mixed), on="mention_id", how="inner"
    )
    profile = language_profile(
        read["text"].fill_null("").to_list(), read["language"].to_list(), read["mixed"].to_list(), model.figures
    )
    return result(
        profile,
        languages=profile.height,
        mixed_share=read["mixed"].mean(),
        not_measured=profile.filter(pl.col("model_macro_f1").is_null())["language"].to_list(),
    )
