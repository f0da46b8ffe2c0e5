"""Lift Sentiment reads: the classifier in use, and every mention scored by it."""

from dataclasses import replace

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.sentiment.reading import client_training
from liftos_pipelines.modules.sentiment.reading.incremental import fingerprint, split, with_text_id
from liftos_pipelines.modules.sentiment.reading.model import SentimentModel
from liftos_pipelines.modules.sentiment.reading.scoring import Kind, Subjects, score_mentions
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource
from liftos_pipelines.resources.sentiment_reading import open_reading
from liftos_pipelines.tables import table
from liftos_pipelines.templates.loader import load_template
from liftos_pipelines.text import Name, NameFinder

SCORING_VERSION = 1
"""Counted up when the code reads the same text differently: scores of before are then made anew."""


@lift_asset("sentiment/model", ins=inputs("sources/labelled_mentions"), kinds={"mlflow"}, code_version="1")
def model(
    context: dg.AssetExecutionContext,
    labelled_mentions: pl.DataFrame,
    lake: LakeResource,
    mlflow: MlflowResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """The classifier in use: the packaged default, or one retrained on the client's labels when held-out mentions
    show it is not worse."""
    client, default = client_of(context).client, sentiment_model.default()
    labelled = labelled_mentions.drop_nulls(["text", "label"])
    if labelled.is_empty():
        sentiment_model.keep(lake.get(), client, None)
        return _model_result(default, None, "packaged default: the client has no labelled mentions")
    # Sorted, so that the order of the client's file does not change the model.
    labelled = labelled.sort("text")
    trained = client_training.retrain_for_client(
        default, labelled["text"].to_list(), labelled["label"].to_list(), labelled["language"].to_list()
    )
    own = sentiment_model.keep(lake.get(), client, trained.model if trained.promoted else None)
    if trained.client_macro_f1 == trained.client_macro_f1:  # something was fitted
        with mlflow.run(context, "sentiment/model"):
            tracking = mlflow.open()
            tracking.log_params(
                {"n_labelled": trained.n_labelled, "n_clusters": trained.n_clusters, "seed": client_training.SEED}
            )
            tracking.log_metrics(
                {
                    "default_macro_f1": trained.default_macro_f1,
                    "client_macro_f1": trained.client_macro_f1,
                    "default_log_loss": trained.default_log_loss,
                    "client_log_loss": trained.client_log_loss,
                    "promoted": float(trained.promoted),
                }
            )
            if own is not None:
                tracking.log_artifact(str(own))
    which = "retrained for this client" if trained.promoted else "packaged default"
    return _model_result(trained.model, trained, f"{which}: {trained.reason}", path=str(own) if own else "packaged")


@lift_asset(
    "sentiment/mention_scores",
    ins=inputs("sources/mentions", "sources/campaigns"),
    deps=[["sentiment", "model"]],
    kinds={"polars"},
    code_version="2",
)
def mention_scores(
    context: dg.AssetExecutionContext,
    mentions: pl.DataFrame,
    campaigns: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each mention's language, calibrated sentiment, emotions, irony, topics and what it says of each named brand,
    product or campaign; abstains when unsure, and says why a text could not be scored. Only new or changed mentions
    are read; another model, name or topic has everything read again."""
    if mentions.is_empty():
        return skipped("sentiment/mention_scores", "mentions")
    client = client_of(context)
    reading, without = open_reading(sentiment_model, lake.get(), client)
    names, topics = names_of(client, campaigns), load_template(client.industry, client.folder).topics
    scored_with = fingerprint(
        [
            reading.model_id,
            SCORING_VERSION,
            [[*vars(name).values(), kind] for name, kind in names.items()],
            dict(topics),
        ]
    )
    subjects = Subjects(
        finder=NameFinder(list(names)), kinds={name.name: kind for name, kind in names.items()}, topics=topics
    )
    mentions = with_text_id(mentions)
    kept, fresh = split(mentions, lake.get().read(client.client, "sentiment/mention_scores"), scored_with)
    read = score_mentions(fresh, reading, subjects).with_columns(
        fresh["text_id"], pl.lit(scored_with).alias("scored_with")
    )
    order = mentions.select("mention_id")
    scores = order.join(pl.concat([kept.select(read.columns), read]), on="mention_id", maintain_order="left")
    unscored = scores["p_negative"].null_count()
    return result(
        scores,
        newly_scored=read.height,
        abstained_share=scores["abstained"].mean(),
        unscored_share=unscored / scores.height,
        unknown_language_share=(scores["language"] == "unknown").mean(),
        mixed_language_share=scores["mixed"].mean(),
        net_sentiment=(scores["p_positive"] - scores["p_negative"]).mean(),
        model_id=reading.model_id,
        model_origin=reading.origin,
        encoder="in use" if without is None else f"not used: {without}",
        reasons=scores["reason"].drop_nulls().value_counts(sort=True),
        languages=_by_language(scores),
        targets=_by_target(scores),
        topics=_by_topic(scores),
    )


def names_of(client: ClientConfig, campaigns: pl.DataFrame) -> dict[Name, Kind]:
    """The brand, its competitors, their products and the client's campaigns: what a mention may speak of."""
    found: dict[Name, Kind] = {}
    if client.brand is not None:
        # Products stand for themselves here: what is said of a tent is not yet said of its maker.
        brand, *competitors = (replace(name, products=()) for name in client.brand.names())
        found[brand] = "brand"
        found |= dict.fromkeys(competitors, "competitor")
        products = [name for one in (client.brand, *client.brand.competitors) for name in one.products]
        found |= dict.fromkeys((Name(name=name) for name in products), "product")
    taken = {name.name for name in found}
    told = (name for name in campaigns["name"].drop_nulls().unique().sort() if name not in taken)
    return found | dict.fromkeys((Name(name=name) for name in told), "campaign")


def subjects_of(client: ClientConfig, campaigns: pl.DataFrame) -> Subjects:
    """Those names with their kind, and the topics of the client's industry."""
    names = names_of(client, campaigns)
    return Subjects(
        finder=NameFinder(list(names)),
        kinds={name.name: kind for name, kind in names.items()},
        topics=load_template(client.industry, client.folder).topics,
    )


def _by_language(scores: pl.DataFrame) -> pl.DataFrame:
    return (
        scores.group_by("language")
        .agg(
            n=pl.len(),
            net_sentiment=(pl.col("p_positive") - pl.col("p_negative")).mean(),
            abstained=pl.col("abstained").mean(),
            mixed=pl.col("mixed").mean(),
        )
        .sort("n", descending=True)
    )


def _by_target(scores: pl.DataFrame) -> pl.DataFrame:
    return (
        scores.explode("targets", empty_as_null=True)
        .drop_nulls("targets")
        .unnest("targets", separator="_")
        .group_by(name="targets_name", kind="targets_kind")
        .agg(n=pl.len(), net_sentiment=pl.col("targets_net_sentiment").mean())
        .sort("n", descending=True)
        .head(20)
    )


def _by_topic(scores: pl.DataFrame) -> pl.DataFrame:
    return (
        scores.explode("topics", empty_as_null=True)
        .drop_nulls("topics")
        .group_by(topic="topics")
        .agg(n=pl.len(), net_sentiment=(pl.col("p_positive") - pl.col("p_negative")).mean())
        .sort("n", descending=True)
    )


def _model_result(
    used: SentimentModel, trained: client_training.ClientTraining | None, reason: str, path: str = "packaged"
) -> dg.MaterializeResult[pl.DataFrame]:
    frame = pl.DataFrame(
        {
            "model_id": [used.model_id],
            "origin": [used.origin],
            "n_labelled": [trained.n_labelled if trained else 0],
            "n_clusters": [trained.n_clusters if trained else 0],
            "default_macro_f1": [_known(trained.default_macro_f1) if trained else None],
            "client_macro_f1": [_known(trained.client_macro_f1) if trained else None],
            "reason": [reason],
        },
        schema=table("sentiment/model").columns,
    )
    validation = used.figures.get("validation", {})
    return result(
        frame,
        model_id=used.model_id,
        model_path=path,
        reason=reason,
        abstain_below=used.abstain_below,
        default_macro_f1=frame["default_macro_f1"][0],
        client_macro_f1=frame["client_macro_f1"][0],
        packaged_validation_macro_f1=validation.get("mean_macro_f1"),
        packaged_validation_ece=validation.get("all", {}).get("ece"),
    )


def _known(value: float) -> float | None:
    return None if value != value else value
