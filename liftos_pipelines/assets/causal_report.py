"""Lift Causal's report: one HTML file per model, of the newest fit and of the model that serves."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.causal import spec_for
from liftos_pipelines.assets.common import SKIPPED, WEEKLY, client_of, inputs
from liftos_pipelines.clients import ClientConfig, clients_partitions
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.tables import table

ANSWERS = ("channel_results", "response_curves", "budget_plan", "contributions")
PAGE = "mmm_report.html"
"""The report of the model that serves; of the newest fit, marked as not published, where none does."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A posterior to report on; `answers` by name where it serves, else None: then they are worked out."""

    data: Any
    version: int | None
    run_id: str | None
    serves: bool
    why: str
    checks: pl.DataFrame
    answers: dict[str, pl.DataFrame] | None
    remembered: str = ""
    """The registry's word on its gate, for when its checks are no longer at hand."""


@dg.asset(
    key=["causal", "report"],
    ins=inputs("causal/panel", "causal/champion", "causal/mmm_posterior", "causal/validation")
    | inputs(*(f"causal/{name}" for name in ANSWERS)),
    partitions_def=clients_partitions,
    group_name="causal",
    owners=["team:causal"],
    freshness_policy=WEEKLY,
    kinds={"html", "mlflow"},
    code_version="1",
)
def report(
    context: dg.AssetExecutionContext,
    panel: pl.DataFrame,
    champion: Any,
    mmm_posterior: Any,
    validation: pl.DataFrame,
    channel_results: pl.DataFrame,
    response_curves: pl.DataFrame,
    budget_plan: pl.DataFrame,
    contributions: pl.DataFrame,
    lake: LakeResource,
    mlflow: MlflowResource,
) -> dg.MaterializeResult[Any]:
    """One self-contained HTML page per model: verdict, fit, contributions, returns, curves, plan, every check, limits.

    A fit that failed the gate has its page too, marked NOT PUBLISHED and without a plan. Its path is in the metadata,
    it opens offline, and it is an artefact of the model's MLflow run.
    """
    from liftos_pipelines.modules.causal.engine.reading import is_fitted

    if not is_fitted(mmm_posterior):
        return dg.MaterializeResult(metadata={"status": f"{SKIPPED} (marketing)"})
    client, store, now = client_of(context), lake.get(), datetime.now(UTC)
    folder = store.folder(client.client, "causal")
    served = (channel_results, response_curves, budget_plan, contributions)
    answers = dict(zip(ANSWERS, served, strict=True)) if is_fitted(champion) else None
    newest = _newest(mmm_posterior, champion, validation, answers)
    models = [newest]
    if is_fitted(champion) and not newest.serves:
        models.append(_served(champion, folder, mlflow, client.client, answers))
    if newest.checks.height:
        _replace(folder / _name("checks", newest.version, "json"), newest.checks.write_json().encode())
    left_out = _left_out(context)
    made = []
    for model in models:
        with tempfile.TemporaryDirectory() as scratch:
            made.append(_write(model, client, panel, now, left_out, folder, Path(scratch), mlflow, context))
    written = made[-1]
    _replace(folder / PAGE, written["content"])
    return dg.MaterializeResult(
        metadata={
            "status": "ok",
            "verdict": " ".join(one["words"] for one in made),
            "newest_fit": dg.MetadataValue.path(str(folder / _name("report", newest.version, "html"))),
            "page": dg.MetadataValue.path(str(folder / PAGE)),
            "sha256": hashlib.sha256(written["content"]).hexdigest(),
            "bytes": float(len(written["content"])),
            "generated_at": now.isoformat(timespec="seconds"),
            "mlflow": "; ".join(one["mlflow"] for one in made),
        }
        | {name: dg.MetadataValue.md(picture) for name, picture in written["pictures"].items()}
    )


def _newest(fit: Any, champion: Any, validation: pl.DataFrame, answers: dict[str, pl.DataFrame] | None) -> Model:
    """The newest fit; checks of another one do not count for it."""
    number = fit.attrs.get("version")
    version = None if number is None else int(number)
    judged = validation["version"].max() if "version" in validation.columns else None
    serving = champion.attrs.get("version")
    serves = version is not None and serving is not None and int(serving) == version
    return Model(
        data=fit,
        version=version,
        run_id=fit.attrs.get("mlflow_run_id"),
        serves=serves,
        why=str(champion.attrs.get("why", champion.attrs["status"])),
        checks=validation if judged == version else validation.clear(),
        answers=answers if serves else None,
    )


def _served(
    champion: Any, folder: Path, mlflow: MlflowResource, client: str, answers: dict[str, pl.DataFrame] | None
) -> Model:
    """The model that serves in place of the newest fit, with its checks as they were kept when it was the newest."""
    from liftos_pipelines.resources.model_registry import GATE, ModelRegistry

    number = int(champion.attrs["version"])
    kept = folder / _name("checks", number, "json")
    known = ModelRegistry(client, mlflow).version(number)
    checks = table("causal/validation").empty()
    if kept.is_file():
        checks = table("causal/validation").conform(pl.DataFrame(json.loads(kept.read_text())))
    return Model(
        data=champion,
        version=number,
        run_id=known.run_id if known else None,
        serves=True,
        why=str(champion.attrs.get("why", "")),
        checks=checks,
        answers=answers,
        remembered=known.tags.get(GATE, "") if known else "",
    )


def _write(
    model: Model,
    client: ClientConfig,
    panel: pl.DataFrame,
    now: datetime,
    left_out: str,
    folder: Path,
    scratch: Path,
    mlflow: MlflowResource,
    context: dg.AssetExecutionContext,
) -> dict[str, Any]:
    """Make a model's page, put it and its pictures where they belong; what was made."""
    from liftos_pipelines.checks.causal import GATES
    from liftos_pipelines.modules.causal.engine.reading import last_week, read_fitted, spec_of
    from liftos_pipelines.modules.causal.report import plots
    from liftos_pipelines.modules.causal.report.measures import measure
    from liftos_pipelines.modules.causal.report.page import Report, report_page
    from liftos_pipelines.modules.causal.report.words import verdict

    fitted = read_fitted(model.data, panel)
    said = verdict(model.checks, model.serves, model.why, model.remembered)
    answers, note = model.answers, ""
    if answers is None:
        answers, note = _answers(fitted, spec_for(client), plan=said.sound)
    measures = measure(model.data, fitted, spec_of(model.data))
    page = report_page(
        Report(
            client=client.client,
            currency=client.currency,
            now=now,
            version=model.version,
            run_id=model.run_id,
            serves=model.serves,
            why=model.why,
            remembered=model.remembered,
            checks=model.checks,
            results=answers["channel_results"],
            curves=answers["response_curves"],
            plan=answers["budget_plan"],
            contributions=answers["contributions"],
            measures=measures,
            left_out=left_out,
            plan_note=note,
            weeks_unseen=panel.filter(pl.col("date") > last_week(model.data))["date"].n_unique(),
            meanings=GATES,
        )
    )
    figures = {
        "fit": (plots.fit_figure(measures.fit), plots.FIT_TITLE),
        "contributions": (plots.contributions_figure(answers["contributions"]), "What made the outcome of each week"),
        "roi": (plots.forest_figure(answers["channel_results"]), "Return on spend by channel"),
        "curves": (plots.curves_figure(answers["response_curves"]), "Response to spend by channel"),
    }
    content = page.encode()
    file = folder / _name("report", model.version, "html")
    _replace(file, content)
    attached = [scratch / PAGE]
    attached[0].write_bytes(content)
    pictures = {}
    for name, (figure, title) in figures.items():
        if figure is None:
            continue
        (scratch / f"{name}.png").write_bytes(plots.png(figure))
        attached.append(scratch / f"{name}.png")
        pictures[name] = plots.markdown(figure, title)
    trouble = "the run is unknown" if model.run_id is None else mlflow.attach(model.run_id, attached, "report")
    if trouble:
        context.log.warning(f"the report of version {model.version} is not in MLflow: {trouble}")
    words = said.lead if model.version is None else f"version {model.version}: {said.lead}"
    return {
        "content": content,
        "words": words,
        "pictures": pictures,
        "mlflow": f"not attached: {trouble}" if trouble else f"report/ of run {model.run_id}",
    }


def _answers(fitted: Any, spec: Any, *, plan: bool) -> tuple[dict[str, pl.DataFrame], str]:
    """What a model would answer that does not serve; a plan only where no check failed, else why there is none."""
    from liftos_pipelines.modules.causal.answers import results
    from liftos_pipelines.modules.causal.answers.contributions import contributions
    from liftos_pipelines.modules.causal.plan.budget import PlanError, budget_plan

    planned, note = table("causal/budget_plan").empty(), ""
    if plan:
        try:
            planned = budget_plan(
                fitted, plan_weeks=spec.plan_weeks, band=spec.plan_band, seed=spec.seed, plan=spec.plan
            )
        except PlanError as error:
            note = str(error)
    made = (
        results.channel_results(fitted),
        results.response_curves(fitted, spec.plan_weeks),
        planned,
        contributions(fitted),
    )
    return dict(zip(ANSWERS, made, strict=True)), note


def _left_out(context: dg.AssetExecutionContext) -> str:
    """What the newest panel said that it had to leave out."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(["causal", "panel"]), asset_partitions=[context.partition_key]),
        limit=1,
    ).records
    made = found[0].asset_materialization if found else None
    said = made.metadata.get("left_out") if made else None
    return "unknown" if said is None else str(said.value)


def _name(what: str, version: int | None, ending: str) -> str:
    return f"mmm_{what}_v{version}.{ending}" if version is not None else f"mmm_{what}_unregistered.{ending}"


def _replace(file: Path, content: bytes) -> None:
    """Put a file in its place at once: a reader sees the old one or the new one."""
    partial = file.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(file)
