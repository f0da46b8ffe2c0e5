"""Lift Surfacing's assets: answers become mentions, visibility and shifts; pages become audits; both, advice."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.modules.sentiment.model import SentimentModel
from liftos_pipelines.modules.surfacing.shifts import scan_state
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.sentiment_model import SentimentModelResource, second_identifier
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.payloads import AlgorithmChangeDetected, Payload, VisibilityShiftDetected
from liftos_pipelines.stats import FloatArray
from liftos_pipelines.tables import ALL
from liftos_pipelines.templates.loader import load_template
from liftos_pipelines.text import NameFinder

SEED = 20240611
EVENT_HORIZON = timedelta(days=90)
"""Shifts further back than this from the newest answer are history: recorded, but nothing reacts to them."""
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


@lift_asset("surfacing/visibility", ins=inputs("surfacing/answer_mentions"), kinds={"polars"}, code_version="1")
def visibility(context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """Mention rate, share of voice, top ranks and citation share by month, with prompt-clustered intervals."""
    if answer_mentions.is_empty():
        return skipped("surfacing/visibility", "answers")
    rates = lift.visibility(answer_mentions, seed=SEED)
    newest = rates.filter(pl.col("own"), pl.col("engine") == ALL).filter(pl.col("period") == pl.col("period").max())
    values = dict(newest.select("metric", "value").iter_rows())
    return result(rates, prompts=newest["n_prompts"].max(), **{metric: values.get(metric) for metric in lift.METRICS})


@lift_asset(
    "surfacing/shifts", ins=inputs("surfacing/answer_mentions", "sources/answers"), kinds={"polars"}, code_version="1"
)
def shifts(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Dated changes of visibility, told apart: one brand's, an engine's, the world's, or our own prompts'."""
    if answer_mentions.is_empty() or answers.is_empty():
        return skipped("surfacing/shifts", "answers")
    found = lift.visibility_shifts(answer_mentions, answers, seed=SEED)
    newest = answers["asked_at"].max()
    recent = found.filter(pl.col("detected_at") >= pl.lit(newest) - EVENT_HORIZON)
    raised = raise_shifts(spine.get(), context.partition_key, recent)
    counts = dict(found.group_by("kind").len().iter_rows())
    return result(
        found,
        events=raised,
        asking_days=min(scan_state(answer_mentions, answers).values()),
        **{kind: counts.get(kind, 0) for kind in ("brand", "engine", "world", "own")},
    )


@lift_asset("surfacing/page_audit", ins=inputs("sources/pages"), kinds={"polars"}, code_version="1")
def page_audit(context: dg.AssetExecutionContext, pages: pl.DataFrame) -> dg.MaterializeResult[pl.DataFrame]:
    """How ready each page is to be found, read and cited by assistants, check by check, with the evidence."""
    if pages.is_empty():
        return skipped("surfacing/page_audit", "pages")
    client = client_of(context)
    template = load_template(client.industry, client.folder)
    audit = lift.audit_pages(
        pages,
        brand=client.brand.as_name() if client.brand else None,
        weights=template.audit_weights,
        now=datetime.now(UTC).date(),
    )
    scores = dict(audit.group_by("dimension").agg(pl.col("score").mean()).iter_rows())
    return result(
        audit,
        pages=audit["url"].n_unique(),
        measured_share=lift.measured_share(audit),
        template=f"{template.name} (version {template.version})",
        **{f"{name}_score": scores.get(name) for name in (*lift.DIMENSIONS, "overall")},
    )


@lift_asset(
    "surfacing/recommendations",
    ins=inputs(
        "surfacing/page_audit", "surfacing/answer_mentions", "surfacing/shifts", "sources/answers", "sources/outcomes"
    ),
    kinds={"polars"},
    code_version="1",
)
def recommendations(
    context: dg.AssetExecutionContext,
    page_audit: pl.DataFrame,
    answer_mentions: pl.DataFrame,
    shifts: pl.DataFrame,
    answers: pl.DataFrame,
    outcomes: pl.DataFrame,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What to do about visibility, graded by evidence; an expected effect only where past outcomes measured one."""
    if page_audit.is_empty() and answer_mentions.is_empty():
        return skipped("surfacing/recommendations", "answers, pages")
    brand = client_of(context).brand
    advice = lift.recommendations(
        audit=page_audit,
        mentions=answer_mentions,
        answers=answers,
        shifts=shifts,
        outcomes=outcomes,
        brands=brand.names() if brand else [],
    )
    grades = dict(advice.group_by("evidence_grade").len().iter_rows())
    return result(
        advice,
        with_measured_effect=advice["expected_effect"].count(),
        **{f"grade_{grade}": grades.get(grade, 0) for grade in "ABCD"},
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


def raise_shifts(spine: Spine, client: str, found: pl.DataFrame) -> int:
    """Raise an event for each shift that others should react to (not for our own changes); how many there are."""
    raised = 0
    for at, engine, kind, brand, effect, p_value in found.select(
        "detected_at", "engine", "kind", "brand", "effect", "p_value"
    ).iter_rows():
        payload: Payload
        if kind == "engine":
            payload = AlgorithmChangeDetected(engine=engine, detected_at=at, effect=effect, p_value=p_value)
        elif kind in ("brand", "world"):
            payload = VisibilityShiftDetected(
                engine=engine, kind=kind, brand=brand, detected_at=at, effect=effect, p_value=p_value
            )
        else:
            continue
        spine.raise_event(client, payload, occurred_at=at)
        raised += 1
    return raised
