"""Lift LLM's experiments: what the variants' calls say, what each look decided, and how calls should be split next."""

from datetime import UTC
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig, ClientError
from liftos_pipelines.modules.llm.experiments.allocation import allocation as allocate
from liftos_pipelines.modules.llm.experiments.looks import alternatives, fresh
from liftos_pipelines.modules.llm.experiments.looks import looks as add_looks
from liftos_pipelines.modules.llm.experiments.plan import Plan, PlanError
from liftos_pipelines.modules.llm.experiments.plots import allocation_figure, sequence_figure
from liftos_pipelines.modules.llm.experiments.readout import experiments as compare_arms
from liftos_pipelines.modules.llm.experiments.trajectory import by_day
from liftos_pipelines.page_style import markdown_image
from liftos_pipelines.resources.lake import Lake, LakeResource
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.spine.database import LedgerNote
from liftos_pipelines.spine.decisions import EXPERIMENT_LOOK, Alternative, Input, accountable
from liftos_pipelines.spine.outbox import outbox
from liftos_pipelines.spine.payloads import LlmExperimentDecided

CALLS = ("sources/llm_calls", "llm/call_scores")
TABLE, LOOKS, ALLOCATION = "llm/experiments", "llm/experiment_looks", "llm/allocation"
ACTOR = "liftos.experiments"
CALLED_OFF = ("rollback_b", "invalid_srm")


@lift_asset(TABLE, ins=inputs(*CALLS), kinds={"polars"}, code_version="2")
def experiments(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame, lake: LakeResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Variants of each prompt compared on feedback, groundedness, errors, latency and cost: by the unit that was
    randomised, with less variance where its past is known, and with decisions that hold at any look."""
    if llm_calls.is_empty():
        return skipped(TABLE, "llm_calls")
    plans = plans_of(client_of(context))
    compared = compare_arms(llm_calls, call_scores, plans)
    primary = compared.filter(pl.col("role") == "primary") if compared.height else compared
    decided = primary["decision"]
    figure = sequence_figure(by_day(llm_calls, call_scores, plans), lake.get().read(context.partition_key, LOOKS))
    silent = sorted({plan.experiment for plan in plans} - set(compared["experiment"]))
    return result(
        compared,
        experiments=primary.height,
        **{name: (decided == name).sum() for name in ("ship_b", "rollback_b", "keep_a", "invalid_srm")},
        planned_without_calls=", ".join(silent) or "none",
        sequence=dg.MetadataValue.md(markdown_image(figure, "Confidence sequences by day") if figure else "unknown"),
    )


@lift_asset(LOOKS, ins=inputs(TABLE), kinds={"polars"}, code_version="1")
def experiment_looks(
    context: dg.AssetExecutionContext, experiments: pl.DataFrame, lake: LakeResource, spine: SpineResource
) -> dg.MaterializeResult[pl.DataFrame]:
    """Every look at an experiment that had something new to see, with what it decided and what was decided first; each
    is a decision record in the ledger, and a decision is told once."""
    client, log, store = context.partition_key, spine.get(), lake.get()
    before = store.read(client, LOOKS)
    found = add_looks(experiments, before)
    new = fresh(found, before)
    known = {entry.idempotency_key for entry in log.ledger(client, kinds=[EXPERIMENT_LOOK])}
    notes = [_note(row, store, client) for row in new.iter_rows(named=True)]
    log.append_ledger_many(client, [note for note in notes if note.idempotency_key not in known])
    pairs = _pairs(experiments)
    told = outbox(context, spine)
    # Also of looks that were there before: the same decision is the same event, so that none is lost or doubled.
    for row in found.filter(pl.col("news")).iter_rows(named=True):
        told.raise_event(client, _decided(row, pairs), occurred_at=row["looked_at"])
    newest = found.filter(pl.col("look") == pl.col("look").max().over("experiment", "variant_a", "variant_b"))
    return result(
        found,
        looks=found.height,
        new_looks=new.height,
        decided=newest["final_decision"].count(),
        newest=newest.select("experiment", "variant_b", "look", "decision", "final_decision", "reason"),
    )


@lift_asset(ALLOCATION, ins=inputs(*CALLS, LOOKS), kinds={"polars"}, code_version="1")
def allocation(
    context: dg.AssetExecutionContext,
    llm_calls: pl.DataFrame,
    call_scores: pl.DataFrame,
    experiment_looks: pl.DataFrame,
    lake: LakeResource,
) -> dg.MaterializeResult[pl.DataFrame]:
    """With what probability each variant should be chosen next: as planned, or by Thompson sampling above a floor; the
    caller logs it as the call's propensity. One row an experiment, variant and newest call, kept."""
    if llm_calls.is_empty():
        return skipped(ALLOCATION, "llm_calls")
    decisions = {
        (row["experiment"], row["variant_b"]): row["final_decision"]
        for row in experiment_looks.sort("look").iter_rows(named=True)
        if row["final_decision"]
    } | {
        (row["experiment"], row["variant_b"]): row["decision"]
        for row in experiment_looks.sort("look").iter_rows(named=True)
        if row["news"] and row["decision"] in CALLED_OFF
    }
    shares = allocate(llm_calls, call_scores, plans_of(client_of(context)), decisions)
    before = lake.get().read(context.partition_key, ALLOCATION)
    over_time = pl.concat([before.select(shares.columns), shares]).unique(
        ["experiment", "as_of", "variant"], keep="last", maintain_order=True
    )
    figure = allocation_figure(over_time)
    return result(
        shares,
        least_probability=shares["probability"].min(),
        adaptive=shares.filter(pl.col("mode") == "thompson")["experiment"].n_unique(),
        shares=dg.MetadataValue.md(markdown_image(figure, "Share of each variant") if figure else "unknown"),
    )


def plans_of(client: ClientConfig) -> list[Plan]:
    """The experiments that `client.yaml` plans.

    Raises
    ------
    ClientError : a plan that cannot be followed, with file, field and fix
    """
    found = []
    for name, said in client.llm.experiments.items():
        try:
            found.append(
                Plan(
                    experiment=name,
                    prompt=said.prompt,
                    by=said.by,
                    shares=said.split,
                    primary=said.primary,
                    minimal_effect=said.minimal_effect,
                    guardrails={metric: (guard.margin, guard.relative) for metric, guard in said.guardrails.items()},
                    # A time without a zone is UTC, as everywhere in the lake.
                    start=said.start if said.start is None or said.start.tzinfo else said.start.replace(tzinfo=UTC),
                    horizon_units=said.horizon_units,
                    horizon_days=said.horizon_days,
                    allocation=said.allocation,
                    exploration_floor=said.exploration_floor,
                    covariates=said.covariates,
                )
            )
        except PlanError as error:
            raise ClientError(f"{client.folder / 'client.yaml'}: {error}") from error
    return found


def _note(row: dict[str, Any], store: Lake, client: str) -> LedgerNote:
    """One look as a decision record; its key is the look's data, so that the same look is written once."""
    names = ("experiment", "variant_a", "variant_b", "prompt_name", "metric", "look", "data_mark", "decision")
    measured = (
        *("n_a", "n_b", "units_a", "units_b", "estimate", "cs_low", "cs_high", "p_b_better", "expected_loss_a"),
        *("expected_loss_b", "variance_removed", "srm_p_value", "guardrails", "final_decision"),
    )
    body = {name: row[name] for name in names} | {
        "looked_at": row["looked_at"].isoformat(),
        "action": f"experiment {row['experiment']}: {row['decision']}",
    }
    body |= accountable(
        inputs=[
            Input(table=CALLS[0], version=store.version(client, CALLS[0]), rows=row["n_a"] + row["n_b"]),
            Input(table=CALLS[1], version=store.version(client, CALLS[1])),
            Input(table=TABLE, version=store.version(client, TABLE)),
        ],
        reasoning=row["reason"],
        alternatives=[Alternative(action=name, reason=reason) for name, reason in alternatives(row)],
        evidence={name: row[name] for name in measured},
    )
    key = "|".join(str(row[name]) for name in ("experiment", "variant_a", "variant_b", "data_mark"))
    return LedgerNote(EXPERIMENT_LOOK, ACTOR, body, f"{EXPERIMENT_LOOK}:{key}")


_Pair = tuple[str, str, str]


def _pairs(experiments: pl.DataFrame) -> dict[_Pair, dict[str, Any]]:
    """What is measured of each experiment's pair of variants, by its deciding metric."""
    if "role" not in experiments.columns:
        return {}
    primary = experiments.filter(pl.col("role") == "primary")
    return {(row["experiment"], row["variant_a"], row["variant_b"]): row for row in primary.iter_rows(named=True)}


def _decided(row: dict[str, Any], pairs: dict[_Pair, dict[str, Any]]) -> LlmExperimentDecided:
    pair = pairs.get((row["experiment"], row["variant_a"], row["variant_b"]), {})
    loss = {"ship_b": row["expected_loss_b"], "keep_a": row["expected_loss_a"], "rollback_b": row["expected_loss_a"]}
    return LlmExperimentDecided(
        experiment=row["experiment"],
        prompt_name=row["prompt_name"],
        arm=pair.get("arm", "unknown"),
        version_a=pair.get("version_a"),
        version_b=pair.get("version_b"),
        estimate=pair.get("estimate"),
        low=pair.get("low"),
        high=pair.get("high"),
        decision=row["decision"],
        variant_a=row["variant_a"],
        variant_b=row["variant_b"],
        metric=row["metric"],
        looked_at=row["looked_at"],
        p_b_better=row["p_b_better"],
        expected_loss=loss.get(row["decision"]),
        reason=row["reason"],
    )
