"""Lift Causal's assets: the weekly panel, the marketing-mix posterior, what follows from it, and impacts of events."""

import json
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import SKIPPED, client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.causal.design import build_design, require_enough_weeks
from liftos_pipelines.modules.causal.impact import ImpactUnknown, Series, estimate_impact, national_series
from liftos_pipelines.modules.causal.lift import prepare_lift_tests
from liftos_pipelines.modules.causal.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import Event
from liftos_pipelines.spine.payloads import CausalImpactIdentified, SentimentDropDetected
from liftos_pipelines.tables import ALL, table

REACTION = "causal/impact"
TRIGGERS = ("sentiment_drop_detected", "visibility_shift_detected", "algorithm_change_detected")
SHIFT_WINDOW_DAYS = 28
"""A shift of visibility has a date, not an end: its effect is looked for in the four weeks that follow."""
FITTED = inputs("causal/panel", "causal/mmm_posterior")
MARKETING = ("sources/marketing_outcome", "sources/marketing_media", "sources/marketing_controls")


def spec_for(client: ClientConfig) -> ModelSpec:
    """The client's model specification; errors name client.yaml and the field."""
    return ModelSpec.from_config(client.causal, where=str(client.folder / "client.yaml"))


@lift_asset("causal/panel", ins=inputs(*MARKETING), kinds={"polars"}, code_version="1")
def panel(
    context: dg.AssetExecutionContext,
    marketing_outcome: pl.DataFrame,
    marketing_media: pl.DataFrame,
    marketing_controls: pl.DataFrame,
) -> dg.MaterializeResult[pl.DataFrame]:
    """One row a week and geo: outcome, spend and exposure of each mapped channel, controls; complete and checked."""
    client = client_of(context)
    mapped = client.sources.marketing
    if mapped is None or marketing_outcome.is_empty():
        return skipped("causal/panel", "marketing")
    built = build_panel(
        marketing_outcome,
        marketing_media,
        marketing_controls,
        channels=list(mapped.channels),
        organic=list(mapped.organic),
        mediators=spec_for(client).mediators,
    )
    for note in built.notes:
        context.log.warning(note)
    return result(
        built.frame,
        weeks=built.frame["date"].n_unique(),
        geos=built.frame["geo"].n_unique(),
        channels=len(built.channels),
        controls=len(built.controls),
        left_out="; ".join(built.notes) or "nothing",
    )


@lift_asset(
    "causal/mmm_posterior",
    ins=inputs("causal/panel", "sources/experiments"),
    io_manager_key="posterior_io",
    kinds={"pymc", "mlflow"},
    code_version="1",
)
def mmm_posterior(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, experiments: pl.DataFrame, mlflow: MlflowResource
) -> dg.MaterializeResult[Any]:
    """Posterior of the marketing-mix model: carry-over, saturation, ROI priors, geos pooled, lift tests as evidence."""
    import arviz as az

    if panel.is_empty():
        empty = az.InferenceData(attrs={"status": f"{SKIPPED} (marketing)"})
        return dg.MaterializeResult(value=empty, metadata={"status": f"{SKIPPED} (marketing)"})
    from liftos_pipelines.modules.causal.fit import fit
    from liftos_pipelines.modules.causal.plots import fit_plot
    from liftos_pipelines.modules.causal.reading import read_fitted
    from liftos_pipelines.modules.causal.validation import sampling_checks

    spec = spec_for(client_of(context))
    design = build_design(panel, spec)
    require_enough_weeks(design)
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
    stages = ("compile_seconds", "sampling_seconds", "validation_seconds")
    measured |= {"seconds": seconds} | {name: float(data.attrs[name]) for name in stages}
    run_id = _log_to_mlflow(context, mlflow, data, spec, measured)
    shocks = [week.isoformat() for week in design.scales.shocks]
    return dg.MaterializeResult(
        value=data,
        metadata={name: dg.MetadataValue.float(float(value)) for name, value in measured.items()}
        | {
            "status": "ok",
            "mlflow_run_id": run_id,
            "experiments_used": ", ".join(lift.ids) or "none",
            "weeks_set_apart": ", ".join(shocks) or "none",
            "left_out": "; ".join(lift.notes) or "nothing",
            "fit": dg.MetadataValue.md(fit_plot(read_fitted(data, panel), spec.seed)),
        },
    )


def _log_to_mlflow(
    context: dg.AssetExecutionContext,
    mlflow: MlflowResource,
    data: Any,
    spec: ModelSpec,
    measured: dict[str, float],
) -> str:
    """Parameters, metrics and the NetCDF file in one MLflow run; returns its id."""
    with mlflow.run(context, "mmm_posterior", model="mmm", last_week=str(data.attrs["last_week"])) as run:
        import mlflow as tracking

        settings = spec.model_dump(mode="json")
        tracking.log_params(
            {
                name: value if isinstance(value, (int, float, str)) else json.dumps(value)
                for name, value in settings.items()
            }
        )
        tracking.log_params({name: data.attrs[name] for name in ("channels", "geos", "weeks", "experiments")})
        tracking.log_metrics(measured)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "mmm_posterior.nc"
            data.to_netcdf(str(file))
            tracking.log_artifact(str(file))
        return str(run.info.run_id)


@lift_asset("causal/channel_results", ins=FITTED, kinds={"arviz"}, code_version="1")
def channel_results(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each channel contributed, its ROI and marginal ROI, per geo and in total, with 90 % intervals."""
    from liftos_pipelines.modules.causal import plots, reading, results

    if not reading.is_fitted(mmm_posterior):
        return skipped("causal/channel_results", "marketing")
    estimated = results.channel_results(reading.read_fitted(mmm_posterior, panel))
    total = estimated.filter(pl.col("geo") == ALL)
    picture = plots.forest_plot(estimated)
    paid = total.filter(pl.col("kind") == "paid")
    described: dict[str, Any] = {f"roi_{name}": roi for name, roi in paid.select("channel", "roi").iter_rows()}
    if picture:
        described["roi"] = dg.MetadataValue.md(picture)
    return result(estimated, media_share=total["contribution_share"].sum(), **described)


@lift_asset("causal/response_curves", ins=FITTED, kinds={"arviz"}, code_version="1")
def response_curves(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """Response of each channel to its spend over the plan's weeks, with carry-over at steady state; 90 % intervals."""
    from liftos_pipelines.modules.causal import reading, results

    if not reading.is_fitted(mmm_posterior):
        return skipped("causal/response_curves", "marketing")
    spec = spec_for(client_of(context))
    curves = results.response_curves(reading.read_fitted(mmm_posterior, panel), spec.plan_weeks)
    beyond = curves["beyond_observed"].sum() if curves.height else None
    return result(curves, points_beyond_observed=beyond)


@lift_asset("causal/budget_plan", ins=FITTED, kinds={"scipy"}, code_version="1")
def budget_plan(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """The same budget better spread, within bounds and what was observed, with the uplift's 90 % interval."""
    from liftos_pipelines.modules.causal import plan, reading

    if not reading.is_fitted(mmm_posterior):
        return skipped("causal/budget_plan", "marketing")
    spec = spec_for(client_of(context))
    fitted = reading.read_fitted(mmm_posterior, panel)
    planned = plan.budget_plan(fitted, plan_weeks=spec.plan_weeks, band=spec.plan_band, seed=spec.seed)
    if planned.is_empty():
        context.log.warning("no channel spent anything in the plan's weeks: there is no budget to spread")
        return result(planned, status="unknown: nothing was spent in the plan's weeks")
    whole = planned.filter(pl.col("channel") == ALL).row(0, named=True)
    return result(
        planned,
        uplift=whole["uplift"],
        uplift_low=whole["uplift_low"],
        uplift_high=whole["uplift_high"],
        uplift_share=whole["uplift"] / whole["response_current"],
        unit=planned["unit"][0],
    )


@lift_asset("causal/validation", ins=FITTED, kinds={"arviz"}, code_version="1")
def validation(
    context: dg.AssetExecutionContext, panel: pl.DataFrame, mmm_posterior: Any
) -> dg.MaterializeResult[pl.DataFrame]:
    """Whether the fit may be published: convergence, held-out weeks, baseline, collinearity, what the data said."""
    from liftos_pipelines.modules.causal import reading
    from liftos_pipelines.modules.causal.validation import validate

    if not reading.is_fitted(mmm_posterior):
        return skipped("causal/validation", "marketing")
    checks = validate(mmm_posterior, reading.read_fitted(mmm_posterior, panel), reading.spec_of(mmm_posterior))
    count = dict(checks["status"].value_counts().iter_rows())
    values = dict(checks.filter(pl.col("value").is_not_null()).select("check", "value").iter_rows())
    tally = {f"checks_{status}": count.get(status, 0) for status in ("pass", "warn", "fail", "unknown")}
    return result(checks, **tally, **values)


@lift_asset(
    "causal/impact",
    ins=inputs(*MARKETING),
    deps=[dg.AssetKey(["sentiment", "alerts"]), dg.AssetKey(["surfacing", "shifts"])],
    kinds={"polars"},
    code_version="1",
)
def impact(
    context: dg.AssetExecutionContext,
    marketing_outcome: pl.DataFrame,
    marketing_media: pl.DataFrame,
    marketing_controls: pl.DataFrame,
    spine: SpineResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """What each sentiment drop and visibility shift did to the outcome, against what would have been without it."""
    client = client_of(context)
    store = spine.get()
    triggers = store.events(client.client, types=TRIGGERS)
    series: Series | str
    if marketing_outcome.is_empty():
        series = f"{SKIPPED} (marketing)"
    else:
        try:
            series = national_series(
                marketing_outcome, marketing_media, marketing_controls, mediators=spec_for(client).mediators
            )
        except ImpactUnknown as reason:
            series = f"unknown: {reason}"
    rows, unknown = [], []
    for trigger in triggers:
        row = series if isinstance(series, str) else _impact_row(series, trigger)
        if isinstance(row, str):
            unknown.append(f"{trigger.type} {trigger.event_id[:8]}: {row}")
            context.log.warning(unknown[-1])
        else:
            rows.append(row)
            _raise_impact(spine, trigger, row)
    frame = _impact_table(rows)
    status = series if isinstance(series, str) and series.startswith(SKIPPED) else "ok"
    described = result(
        frame,
        status=status,
        triggers=len(triggers),
        estimated=len(rows),
        unknown="; ".join(unknown) or "none",
        revenue_at_risk=frame["revenue_at_risk"].sum() if frame["revenue_at_risk"].count() else None,
    )
    # Noted last: a run that dies before this is asked for again, and does the same once more without harm.
    for trigger in triggers:
        store.mark_handled(trigger.event_id, REACTION)
    return described


def _window_of(trigger: Event) -> tuple[date, date]:
    if isinstance(trigger.payload, SentimentDropDetected):
        return trigger.payload.window_start, trigger.payload.window_end
    start = getattr(trigger.payload, "detected_at", trigger.occurred_at).date()
    return start, start + timedelta(days=SHIFT_WINDOW_DAYS - 1)


def _impact_row(series: Series, trigger: Event) -> dict[str, Any] | str:
    """The row of one event, or why there is none."""
    start, end = _window_of(trigger)
    try:
        estimated = estimate_impact(series, start, end)
    except ImpactUnknown as reason:
        return f"unknown: {reason}"
    campaign = getattr(trigger.payload, "campaign_id", None) or ALL
    return {"event_id": trigger.event_id, "campaign_id": campaign, "trigger": trigger.type} | vars(estimated)


def _raise_impact(spine: SpineResource, trigger: Event, row: dict[str, Any]) -> None:
    payload = CausalImpactIdentified(
        trigger_event_id=trigger.event_id,
        **{name: row[name] for name in CausalImpactIdentified.model_fields if name != "trigger_event_id"},
    )
    happened = datetime.combine(row["window_end"], clock(), tzinfo=UTC)
    spine.get().raise_event(
        trigger.client,
        payload,
        occurred_at=max(happened, trigger.occurred_at),
        causation_id=trigger.event_id,
        correlation_id=trigger.correlation_id,
    )


def _impact_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    whole = ("n_pre", "n_window", "n_placebo")
    extra = {"campaign_id": pl.String(), "trigger": pl.String(), "expected": pl.Float64(), "observed": pl.Float64()}
    schema = table("causal/impact").columns | extra | {name: pl.Int64() for name in whole}
    schema |= {"placebo_ratio": pl.Float64(), "placebo_p": pl.Float64()}
    return pl.DataFrame(rows, schema=schema)
