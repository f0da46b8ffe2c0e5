"""Lift Sentiment's assets: mentions become scores, a daily index, drop alerts (events) and a link to the outcome."""

from datetime import datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.sentiment import client_training, revenue
from liftos_pipelines.modules.sentiment.alerts import AlertReport, find_drops
from liftos_pipelines.modules.sentiment.index import net_sentiment_by_day
from liftos_pipelines.modules.sentiment.model import SentimentModel
from liftos_pipelines.modules.sentiment.scoring import score_mentions
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource, second_identifier
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import SentimentDropDetected
from liftos_pipelines.tables import ALL, table
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


@lift_asset(
    "sentiment/daily_index",
    ins=inputs("sentiment/mention_scores", "sources/mentions"),
    kinds={"polars"},
    code_version="1",
)
def daily_index(
    context: dg.AssetExecutionContext, mention_scores: pl.DataFrame, mentions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Net sentiment (mean of p_positive - p_negative) per day, campaign and source, 90 % intervals by author."""
    if mentions.is_empty():
        return skipped("sentiment/daily_index", "mentions")
    index = net_sentiment_by_day(mention_scores, mentions)
    total = index.filter((pl.col("campaign_id") == ALL) & (pl.col("source") == ALL))
    newest = total.tail(1)
    return result(
        index,
        net_sentiment=newest["net_sentiment"].item() if newest.height else None,
        net_sentiment_low=newest["low"].item() if newest.height else None,
        net_sentiment_high=newest["high"].item() if newest.height else None,
        days=total.height,
        mentions_scored=total["n"].sum(),
    )


@lift_asset(
    "sentiment/alerts",
    ins=inputs("sentiment/daily_index", "sentiment/mention_scores", "sources/mentions"),
    kinds={"polars"},
    code_version="1",
)
def alerts(
    context: dg.AssetExecutionContext,
    daily_index: pl.DataFrame,
    mention_scores: pl.DataFrame,
    mentions: pl.DataFrame,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """Drops of net sentiment by campaign and in total, from a detector with a stated rate of false alarms; each
    raises `sentiment_drop_detected`."""
    if mentions.is_empty():
        return skipped("sentiment/alerts", "mentions")
    report = find_drops(daily_index, mention_scores, mentions)
    raise_drops(spine.get(), client_of(context).client, report.alerts)
    return result(report.alerts, **_alert_metadata(report))


@lift_asset(
    "sentiment/revenue_link",
    ins=inputs("sentiment/daily_index", "sources/marketing_outcome"),
    kinds={"polars"},
    code_version="1",
)
def revenue_link(
    context: dg.AssetExecutionContext, daily_index: pl.DataFrame, marketing_outcome: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether the outcome moves with net sentiment, and with what delay: an association, never called a cause."""
    for frame, source in ((daily_index, "mentions"), (marketing_outcome, "marketing")):
        if frame.is_empty():
            return skipped("sentiment/revenue_link", source)
    link = revenue.revenue_link(daily_index, marketing_outcome)
    strongest = link.drop_nulls("p_value").sort("p_value", pl.col("estimate").abs(), descending=[False, True]).head(1)
    return result(
        link,
        strongest_lag_days=strongest["lag_days"].item() if strongest.height else None,
        strongest_p_value=strongest["p_value"].item() if strongest.height else None,
        smallest_visible_correlation=link["smallest_visible"][0],
        verdict=(strongest if strongest.height else link)["verdict"][0],
    )


def names_of(client: ClientConfig, campaigns: pl.DataFrame) -> list[Name]:
    """The brand, its competitors and the client's campaigns, as names that a mention may speak of."""
    brands = client.brand.names() if client.brand else []
    return [*brands, *(Name(name=name) for name in campaigns["name"].drop_nulls().unique().sort())]


def raise_drops(spine: Spine, client: str, alerts: pl.DataFrame) -> None:
    """One `sentiment_drop_detected` an alert; raising one again changes nothing."""
    for row in alerts.iter_rows(named=True):
        detected: datetime = row["detected_at"]
        spine.raise_event(
            client,
            SentimentDropDetected(**{name: row[name] for name in SentimentDropDetected.model_fields}),
            occurred_at=detected,
            correlation_id=f"sentiment-drop-{row['alert_id']}",
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


def _alert_metadata(report: AlertReport) -> dict[str, object]:
    return {
        "alerts": report.alerts.height,
        "worst_severity": report.alerts["severity"].max(),
        "false_alarms_per_year": report.false_alarms_per_year if report.monitored else None,
        "stream_years": report.stream_years,
        "streams_monitored": ", ".join(report.monitored) or "none",
        "streams_with_too_few_days": ", ".join(report.not_monitored) or "none",
    }
