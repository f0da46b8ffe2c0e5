"""Lift Surfacing advises: pages become an audit, and everything known becomes graded recommendations."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.templates.loader import load_template


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
