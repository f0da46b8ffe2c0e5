"""Lift Surfacing advises: pages become an audit, all that is known becomes graded advice, and advice is watched."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.modules.surfacing.advice import outcomes as past
from liftos_pipelines.modules.surfacing.advice import watching
from liftos_pipelines.modules.surfacing.advice.insights import validated_insights
from liftos_pipelines.modules.surfacing.advice.recommendations import with_history, with_status
from liftos_pipelines.modules.surfacing.pages.audit_plot import scores_by_dimension, scores_plot
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Spine
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.templates.evidence import catalogue
from liftos_pipelines.templates.loader import load_template

AUDIT, ADVICE, WATCHED = "surfacing/page_audit", "surfacing/recommendations", "surfacing/recommendation_outcomes"
REACTION, REACTS_TO = ADVICE, ("visibility_shift_detected", "algorithm_change_detected", "insights_recalled")


@lift_asset(AUDIT, ins=inputs("sources/pages"), kinds={"polars"}, code_version="2")
def page_audit(
    context: dg.AssetExecutionContext, pages: pl.DataFrame, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """How ready each page is to be found, read and cited by assistants, check by check, with the evidence.

    Compared with the audit before: what was fixed since, and whether a new date came with new content.
    """
    if pages.is_empty():
        return skipped(AUDIT, "pages")
    client = client_of(context)
    template = load_template(client.industry, client.folder)
    audit = lift.audit_pages(
        pages,
        brand=client.brand.as_name() if client.brand else None,
        weights=template.audit_weights,
        now=datetime.now(UTC).date(),
        earlier=lake.get().read(context.partition_key, AUDIT),
    )
    scores = dict(audit.group_by("dimension").agg(pl.col("score").mean()).iter_rows())
    return result(
        audit,
        pages=audit["url"].n_unique(),
        measured_share=lift.measured_share(audit),
        template=f"{template.name} (version {template.version})",
        scores=scores_by_dimension(audit),
        plot=dg.MetadataValue.md(scores_plot(audit)),
        **{f"{name}_score": scores.get(name) for name in (*lift.DIMENSIONS, "overall")},
    )


@lift_asset(
    ADVICE,
    ins=inputs(
        AUDIT,
        "surfacing/prompt_gaps",
        "surfacing/source_gaps",
        "surfacing/shifts",
        "sources/answers",
        "sources/outcomes",
    ),
    kinds={"polars"},
    code_version="2",
)
def recommendations(
    context: dg.AssetExecutionContext,
    page_audit: pl.DataFrame,
    prompt_gaps: pl.DataFrame,
    source_gaps: pl.DataFrame,
    shifts: pl.DataFrame,
    answers: pl.DataFrame,
    outcomes: pl.DataFrame,
    lake: LakeResource,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What to do about visibility, graded by evidence; an expected effect only where past outcomes measured one.

    Memory and what was watched are read as they were last: both are made from this table, and may not wait for it.
    """
    store, client = lake.get(), context.partition_key
    # Staged: noted when the table is stored. A run that dies before is asked for again, and gives the same advice.
    for event in spine.get().unhandled(REACTION, REACTS_TO, limit=100_000, client=client):
        outbox(context, spine).mark_handled(event.event_id, REACTION)
    earlier = store.read(client, ADVICE)
    insights = validated_insights(store.read(client, "memory/insights"))
    if page_audit.is_empty() and answers.is_empty() and not insights:
        return skipped(ADVICE, "answers, pages")
    brand = client_of(context).brand
    studies = [
        *past.studies_of_outcomes(outcomes),
        *past.studies_of_watching(store.read(client, WATCHED)),
        *past.studies_of_memory(store.read(client, "memory/items")),
    ]
    now = datetime.now(UTC)
    current = lift.recommendations(
        audit=page_audit,
        prompt_gaps=prompt_gaps,
        source_gaps=source_gaps,
        answers=answers,
        shifts=shifts,
        brand=brand.name if brand else None,
        evidence=catalogue().by_kind(),
        effects=past.measured_effects(studies),
        patterns=past.patterns_by_kind(store.read(client, "memory/patterns")),
        now=now,
        insights=insights,
    )
    history = with_history(current, earlier)
    acted = watching.acted_on(history, outcomes=outcomes, ledger=actions_taken(spine.get(), client), audit=page_audit)
    advice = with_status(history, acted, now)
    still_open = advice.filter(pl.col("status") == "open")
    grades = dict(still_open.group_by("evidence_grade").len().iter_rows())
    return result(
        advice,
        open=still_open.height,
        acted_on=advice.height - still_open.height,
        with_measured_effect=advice["expected_effect"].count(),
        contradicted_by_studies=int(still_open["contradicted"].fill_null(False).sum()),
        studies_of_our_own=len(studies),
        **{f"grade_{grade}": grades.get(grade, 0) for grade in "ABCD"},
    )


@lift_asset(
    WATCHED,
    ins=inputs(ADVICE, "surfacing/answer_mentions", "sources/answers"),
    kinds={"polars"},
    code_version="1",
)
def recommendation_outcomes(
    context: dg.AssetExecutionContext,
    recommendations: pl.DataFrame,
    answer_mentions: pl.DataFrame,
    answers: pl.DataFrame,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What changed after advice that was acted on: its prompts against the others, from where they began."""
    if recommendations.is_empty() or "acted_at" not in recommendations.columns:
        return skipped(WATCHED, "recommendations that were acted on")
    acted = recommendations.filter(pl.col("status") == "acted")
    brand = client_of(context).brand
    watched = watching.recommendation_outcomes(
        acted, answer_mentions, answers, brand=brand.name if brand else None, now=datetime.now(UTC)
    )
    states = dict(watched.group_by("status").len().iter_rows())
    return result(watched, **{state: states.get(state, 0) for state in ("measured", "watching", "unknown")})


def actions_taken(spine: Spine, client: str) -> Iterator[tuple[datetime, str]]:
    """When agents' actions were carried out, with all that the ledger says of them: decision and action."""
    decided: dict[str, str] = {}
    for entry in spine.ledger(client):
        said = entry.content
        identity = str(said.get("action_id", ""))
        if entry.kind == "agent_decision":
            decided[identity] = entry.body
        elif entry.kind == "agent_action" and said.get("status") == "executed":
            yield datetime.fromisoformat(entry.recorded_at), f"{decided.get(identity, '')} {entry.body}"
