"""Lift Sentiment reads: the classifier in use, and every mention scored by it."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.sentiment import client_training
from liftos_pipelines.modules.sentiment.model import SentimentModel
from liftos_pipelines.modules.sentiment.scoring import score_mentions
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource, second_identifier
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder


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
    code_version="1",
)
def mention_scores(
    context: dg.AssetExecutionContext,
    mentions: pl.DataFrame,
    campaigns: pl.DataFrame,
    lake: LakeResource,
    sentiment_model: SentimentModelResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each mention's language, calibrated sentiment, emotions, irony and what it says of each named brand or
    campaign; abstains when unsure, and says why a text could not be scored."""
    if mentions.is_empty():
        return skipped("sentiment/mention_scores", "mentions")
    client = client_of(context)
    used = sentiment_model.get(lake.get(), client.client)
    finder = NameFinder(names_of(client, campaigns))
    scores = score_mentions(mentions, used, finder, second_identifier())
    unscored = scores["p_negative"].null_count()
    return result(
        scores,
        abstained_share=scores["abstained"].mean(),
        unscored_share=unscored / scores.height,
        unknown_language_share=(scores["language"] == "unknown").mean(),
        net_sentiment=(scores["p_positive"] - scores["p_negative"]).mean(),
        model_id=used.model_id,
        model_origin=used.origin,
        reasons=scores["reason"].drop_nulls().value_counts(sort=True),
    )


def names_of(client: ClientConfig, campaigns: pl.DataFrame) -> list[Name]:
    """The brand, its competitors and the client's campaigns, as names that a mention may speak of."""
    brands = client.brand.names() if client.brand else []
    return [*brands, *(Name(name=name) for name in campaigns["name"].drop_nulls().unique().sort())]


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
