"""Lift Causal's model: the weekly panel, its posterior, whether it may be published, and which one serves."""

import json
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines import settings
from liftos_pipelines.assets.common import SKIPPED, client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.causal.inputs.design import Design, build_design, require_enough_weeks
from liftos_pipelines.modules.causal.inputs.features import feature_controls
from liftos_pipelines.modules.causal.inputs.lift import prepare_lift_tests
from liftos_pipelines.modules.causal.inputs.panel import build_panel, panel_weeks
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.resources.lake import LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.outbox import Tells, outbox
from liftos_pipelines.spine.payloads import DriftDetected
from liftos_pipelines.templates.loader import load_template, with_template

MARKETING = ("sources/marketing_outcome", "sources/marketing_media", "sources/marketing_controls")
FITTED = inputs("causal/panel", "causal/mmm_posterior")
REACTION = "causal/champion"
STAGES = ("compile_seconds", "sampling_seconds", "validation_seconds")


def spec_for(client: ClientConfig) -> ModelSpec:
    """The client's model specification on top of its industry's; errors name client.yaml and the field."""
    template = load_template(client.industry, client.folder)
    return ModelSpec.from_config(with_template(template, client.causal), where=str(client.folder / "client.yaml"))


@lift_asset("causal/panel", ins=inputs(*MARKETING), kinds={"polars"}, code_version="2")
def panel(
    context: dg.AssetExecutionContext,
    marketing_outcome: pl.DataFrame,
    marketing_media: pl.DataFrame,
    marketing_controls: pl.DataFrame,
    lake: LakeResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """One row a week and geo: outcome, spend and exposure of each mapped channel, controls; complete and checked.

    Where causal.features asks for them, the newest tables of sentiment and visibility in AI answers are read too.
    """
    client = client_of(context)
    mapped = client.sources.marketing
    if mapped is None or marketing_outcome.is_empty():
        return skipped("causal/panel", "marketing")
    spec = spec_for(client)
    notes: tuple[str, ...] = ()
    if spec.features:
        store = lake.get()
        measured = feature_controls(
            {str(name): role for name, role in spec.features.items()},
            panel_weeks(marketing_outcome),
            sentiment=store.read(client.client, "sentiment/daily_index"),
            visibility=store.read(client.client, "surfacing/visibility"),
            brand=client.brand.name if client.brand else None,
        )
        marketing_controls = pl.concat([marketing_controls, measured.rows], how="diagonal_relaxed")
        notes = measured.notes
    built = build_panel(
        marketing_outcome,
        marketing_media,
        marketing_controls,
        channels=list(mapped.channels),
        organic=list(mapped.organic),
        mediators=spec.mediators,
        roles=spec.roles,
    )
    notes = (*notes, *built.notes)
    for note in notes:
        context.log.warning(note)
    return result(
        built.frame,
        weeks=built.frame["date"].n_unique(),
        geos=built.frame["geo"].n_unique(),
        channels=len(built.channels),
        controls=len(built.controls),
        left_out="; ".join(notes) or "nothing",
    )


@lift_asset(
    "causal/mmm_posterior",
    ins=inputs("causal/panel", "sources/experiments"),
    io_manager_key="posterior_io",
    kinds={"pymc", "mlflow"},
    code_version="2",
)
def mmm_posterior(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, experiments: pl.DataFrame, mlflow: MlflowResource
) -> dg.MaterializeResult[Any]:
    """The newest fit of the marketing-mix model, a candidate: it serves only when no check keeps it back.

    Carry-over, saturation, ROI priors, geos pooled, lift tests as evidence; in the units of the model that serves, so
    that fits are comparable. Every fit is a version in the MLflow Model Registry, also one that fails.
    """
    import arviz as az

    if panel.is_empty():
        empty = az.InferenceData(attrs={"status": f"{SKIPPED} (marketing)"})
        return dg.MaterializeResult(value=empty, metadata={"status": f"{SKIPPED} (marketing)"})
    from liftos_pipelines.modules.causal.checks.validation import remedies, sampling_checks
    from liftos_pipelines.modules.causal.engine.fit import fit
    from liftos_pipelines.modules.causal.engine.reading import read_fitted
    from liftos_pipelines.modules.causal.report.plots import fit_plot
    from liftos_pipelines.resources.model_registry import FILE, GATE, ModelRegistry

    spec = spec_for(client_of(context))
    design = build_design(panel, spec)
    require_enough_weeks(design)
    registry = ModelRegistry(context.partition_key, mlflow)
    design, reference, units = _in_served_units(context.partition_key, panel, design, spec)
    lift = prepare_lift_tests(experiments, design, spec.max_lag, spec.lift_carry_out_weeks)
    for note in lift.notes:
        context.log.warning(note)
    started = time.perf_counter()
    data = fit(design, spec, lift)
    seconds = time.perf_counter() - started
    measured = {
        check.check: check.value
        for check in sampling_checks(data)
        if check.value is not None and check.value == check.value
    }
    measured |= {"seconds": seconds} | {name: float(data.attrs[name]) for name in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        data.to_netcdf(str(file), engine="netcdf4")
        logged = mlflow.record(
            context,
            "mmm_posterior",
            params=_parameters(data, spec),
            metrics=measured,
            files=[file],
            tags={"model": "mmm", "last_week": str(data.attrs["last_week"])},
        )
        picture = fit_plot(read_fitted(data, panel), spec.seed)
        run_id = logged()
    version = registry.register(run_id, {GATE: "not checked yet", "last_week": str(data.attrs["last_week"])})
    data.attrs |= {"version": version.number, "mlflow_run_id": run_id, "reference": reference}
    shocks = [week.isoformat() for week in design.scales.shocks]
    return dg.MaterializeResult(
        value=data,
        metadata={name: dg.MetadataValue.float(float(value)) for name, value in measured.items()}
        | {
            "status": "ok",
            "version": float(version.number),
            "mlflow_run_id": run_id,
            "units": units,
            "sampling": "; ".join(remedies(data)),
            "experiments_used": ", ".join(lift.ids) or "none",
            "weeks_set_apart": ", ".join(shocks) or "none",
            "left_out": "; ".join(lift.notes) or "nothing",
            "fit": dg.MetadataValue.md(picture),
        },
    )


def _in_served_units(client: str, panel: pl.DataFrame, design: Design, spec: ModelSpec) -> tuple[Design, str, str]:
    """The design in the served model's frozen units where it fits them, that model's effects, and words on both."""
    from liftos_pipelines.modules.causal.checks.champion import comparable_scales, reference_of
    from liftos_pipelines.modules.causal.engine.reading import is_fitted
    from liftos_pipelines.resources.posterior_io import stored

    served = stored(settings.lake_uri(), client, "causal", "champion")
    if served is None or not is_fitted(served):
        return design, "null", "its own: no model is served yet"
    scales, why = comparable_scales(design, served, spec.form)
    if scales is None:
        return design, json.dumps({"why": why}), f"its own: {why}"
    return build_design(panel, spec, scales=scales), reference_of(served), f"those of version {served.attrs['version']}"


def _parameters(data: Any, spec: ModelSpec) -> dict[str, Any]:
    """What MLflow shows of a fit: the specification, and what the data held."""
    settings = spec.model_dump(mode="json")
    shown = {
        name: value if isinstance(value, (int, float, str)) else json.dumps(value) for name, value in settings.items()
    }
    return shown | {f"data_{name}": data.attrs[name] for name in ("channels", "geos", "weeks", "experiments")}


@lift_asset("causal/validation", ins=FITTED, kinds={"arviz"}, code_version="2")
def validation(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether the newest fit may be published: convergence, held-out weeks, residuals, baseline, assumptions.

    Levels are those of causal.gate as it stands now; a failed check keeps the last champion serving.
    """
    from liftos_pipelines.modules.causal.checks.validation import failed, validate
    from liftos_pipelines.modules.causal.engine import reading

    if not reading.is_fitted(mmm_posterior):
        return skipped("causal/validation", "marketing")
    gate = spec_for(client_of(context)).gate
    spec = reading.spec_of(mmm_posterior).model_copy(update={"gate": gate})
    checks = validate(mmm_posterior, reading.read_fitted(mmm_posterior, panel), spec)
    checks = checks.with_columns(version=pl.lit(mmm_posterior.attrs.get("version"), dtype=pl.Int64))
    count = dict(checks["status"].value_counts().iter_rows())
    values = dict(checks.filter(pl.col("value").is_not_null()).select("check", "value").iter_rows())
    tally = {f"checks_{status}": count.get(status, 0) for status in ("pass", "warn", "fail", "unknown")}
    return result(checks, failed=", ".join(failed(checks)) or "none", **tally, **values)


@lift_asset(
    "causal/champion",
    ins=inputs("causal/panel", "causal/mmm_posterior", "causal/validation"),
    io_manager_key="posterior_io",
    kinds={"arviz", "mlflow"},
    code_version="1",
)
def champion(
    context: dg.AssetExecutionContext,
    panel: pl.DataFrame,
    mmm_posterior: Any,
    validation: pl.DataFrame,
    mlflow: MlflowResource,
    spine: SpineResource,
) -> dg.MaterializeResult[Any]:
    """The posterior that answers are given from: the newest fit when no check failed, else the last one that passed.

    The MLflow alias `champion` of the model `<client>-mmm` says which version serves. Moved by hand it is followed at
    the next run; the tag `hold` = `true` on the version keeps it until it is taken off.
    """
    import arviz as az

    from liftos_pipelines.modules.causal.checks.champion import NONE_PASSED, choose
    from liftos_pipelines.modules.causal.checks.validation import failed
    from liftos_pipelines.modules.causal.engine.reading import is_fitted, last_week
    from liftos_pipelines.resources.model_registry import GATE, HOLD, PROMOTED, ModelRegistry

    if not is_fitted(mmm_posterior):
        return dg.MaterializeResult(value=mmm_posterior, metadata={"status": str(mmm_posterior.attrs["status"])})
    registry = ModelRegistry(context.partition_key, mlflow)
    serving = registry.champion()
    number = mmm_posterior.attrs.get("version")
    candidate = None if number is None else registry.version(int(number))
    judged = validation["version"].max() if "version" in validation.columns else None
    keep_back = failed(validation)
    verdict = choose(
        candidate=candidate.number if candidate else None,
        judged=judged if isinstance(judged, int) else None,
        failed=keep_back,
        promoted_before=candidate is not None and PROMOTED in candidate.tags,
        champion=serving.number if serving else None,
        held=serving is not None and serving.tags.get(HOLD) == "true",
    )
    now = datetime.now(UTC)
    if candidate and judged == candidate.number:
        registry.tag(candidate.number, GATE, f"failed: {', '.join(keep_back)}" if keep_back else "passed")
    if candidate and verdict.promote:
        registry.promote(candidate.number, now)
    context.log.info(f"{verdict.serve} serves: {verdict.why}")
    described: dict[str, Any] = {"why": verdict.why, "candidate": float(number) if number is not None else "unknown"}
    _answer_drifts(spine, outbox(context, spine), context.partition_key, last_week(mmm_posterior))
    if verdict.serve == "nothing":
        data = az.InferenceData(attrs={"status": NONE_PASSED, "why": verdict.why})
        return dg.MaterializeResult(value=data, metadata={"status": NONE_PASSED} | described)
    version = candidate if verdict.serve == "candidate" else serving
    assert version is not None
    data = mmm_posterior if verdict.serve == "candidate" else registry.load(version)
    unseen = panel.filter(pl.col("date") > last_week(data))["date"].n_unique()
    data.attrs |= {"why": verdict.why, "candidate": int(number) if number is not None else -1, "weeks_unseen": unseen}
    return dg.MaterializeResult(
        value=data,
        metadata=described
        | {
            "status": "ok",
            "version": float(version.number),
            "last_week": last_week(data).isoformat(),
            "weeks_unseen": float(unseen),
            "age_days": (now - version.created).total_seconds() / 86_400,
            "mlflow_run_id": version.run_id,
        },
    )


def _answer_drifts(spine: SpineResource, told: Tells, client: str, fitted_until: date) -> None:
    """A fit of the weeks in question, judged, is the answer to a drift of the model; drifts of other data need none."""
    store = spine.get()
    for event in store.unhandled(REACTION, ["drift_detected"], client=client):
        assert isinstance(event.payload, DriftDetected)
        ours = event.payload.dataset == "causal/mmm_posterior"
        if not ours or event.payload.as_of <= fitted_until:
            told.mark_handled(event.event_id, REACTION)
