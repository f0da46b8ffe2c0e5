"""Lift Sentiment by language: how people write there, and how far the classifier can be trusted."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules.sentiment.reading.culture import class_priors, convention_table, language_profile
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource


@lift_asset(
    "sentiment/culture",
    ins=inputs("sentiment/mention_scores", "sources/mentions", "sources/labelled_mentions"),
    kinds={"polars"},
    code_version="1",
)
def culture(
    context: dg.AssetExecutionContext,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    labelled_mentions: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """By language: mentions, share that mixes two languages, how often people laugh, honour, stretch words and use
    emoji, and the classifier's macro-F1, calibration error and net-sentiment bias on texts it did not learn from."""
    if mentions.is_empty():
        return skipped("sentiment/culture", "mentions")
    model = sentiment_model.get(lake.get(), client_of(context).client)
    read = mentions.select("mention_id", "text").join(
        mention_scores.select("mention_id", "language", "mixed"), on="mention_id", how="inner"
    )
    profile = language_profile(
        read["text"].fill_null("").to_list(), read["language"].to_list(), read["mixed"].to_list(), model.figures
    )
    return result(
        profile,
        languages=profile.height,
        mixed_share=read["mixed"].mean(),
        not_measured=profile.filter(pl.col("model_macro_f1").is_null())["language"].to_list(),
        **_from_labels(labelled_mentions.drop_nulls(["text", "label", "language"])),
    )


def _from_labels(labelled: pl.DataFrame) -> dict[str, pl.DataFrame | str]:
    """What each convention does to the share of positive texts, and class shares, where people gave labels."""
    if labelled.is_empty():
        none = "unknown: the client has no labelled mentions that say their language"
        return {"conventions_and_labels": none, "class_priors": none}
    texts, labels, languages = (labelled[name].to_list() for name in ("text", "label", "language"))
    return {
        "conventions_and_labels": convention_table(texts, labels, languages).drop_nulls("positive_lift"),
        "class_priors": class_priors(labels, {"language": languages}),
    }
