"""Client folders and runs for tests of Causal's assets, on a real instance."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import dagster as dg
import polars as pl
from modules.causal.causal_worlds import World

from liftos_pipelines.assets import causal, causal_answers, causal_impact
from liftos_pipelines.checks.causal import causal_publish_gate, served_model_is_current
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.mlflow import MlflowResource
from liftos_pipelines.resources.posterior_io import PosteriorIOManager
from liftos_pipelines.resources.spine import SpineResource
from liftos_pipelines.tables import SOURCES, table

MARKETING = ("marketing_outcome", "marketing_media", "marketing_controls")
ROOMS = (causal, causal_answers, causal_impact)
Run = Callable[..., dg.ExecuteInProcessResult]


def write_client(home: Path, name: str, world: World | None, causal: dict[str, object]) -> None:
    """A client folder; its source tables are written straight to the lake, as ingestion would."""
    folder = home / "clients" / name
    folder.mkdir(exist_ok=True)
    mapping = ""
    lake = Lake(str(home / "lake"))
    frames = {source: table(f"sources/{source}").empty() for source in SOURCES}
    if world is not None:
        channels = "".join(f"      {c}: {{spend: {c}, exposure: {c}}}\n" for c in world.channels)
        mapping = f"sources:\n  marketing:\n    path: m.csv\n    date: d\n    outcome: o\n    channels:\n{channels}"
        frames |= {
            "marketing_outcome": world.outcome,
            "marketing_media": world.media,
            "marketing_controls": world.controls,
        }
    for source, frame in frames.items():
        whole = pl.concat([table(f"sources/{source}").empty(), frame], how="diagonal_relaxed")
        lake.write(name, f"sources/{source}", whole)
    (folder / "client.yaml").write_text(f"client: {name}\n{mapping}causal: {json.dumps(causal)}\n")


def runner(instance: dg.DagsterInstance, *rooms: ModuleType) -> Run:
    """Materialises causal's assets (all, or some by name) of a client, with their checks."""
    assets = dg.load_assets_from_modules([*ROOMS, *rooms])
    partitions = causal.panel.partitions_def
    outside = [dg.AssetSpec(["sources", s], partitions_def=partitions) for s in (*MARKETING, "experiments")]
    defs = dg.Definitions(
        assets=[*assets, *(spec.with_io_manager_key("lake_io") for spec in outside)],
        asset_checks=[causal_publish_gate, served_model_is_current],
        resources={
            "lake_io": LakeIOManager(),
            "lake": LakeResource(),
            "posterior_io": PosteriorIOManager(),
            "spine": SpineResource(),
            "mlflow": MlflowResource(),
        },
        executor=dg.in_process_executor,
    )

    def run(client: str, *names: str, expect: bool = True) -> dg.ExecuteInProcessResult:
        instance.add_dynamic_partitions("clients", [client])
        keys = [dg.AssetKey(["causal", name]) for name in names] or [
            asset.key for asset in assets if isinstance(asset, dg.AssetsDefinition)
        ]
        job = defs.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance, partition_key=client, asset_selection=keys, raise_on_error=expect
        )
        assert result.success == expect
        return result

    return run


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, object]:
    """What a run said of an asset, values bare."""
    found = result.asset_materializations_for_node(f"causal__{name}")[0].metadata
    return {key: getattr(value, "value", value) for key, value in found.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}
