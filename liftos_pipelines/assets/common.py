"""What every asset file uses: one way to declare a client's asset, read its inputs and report its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from liftos_pipelines.assets.locked import locked
from liftos_pipelines.assets.observed import observed
from liftos_pipelines.clients import ClientConfig, clients_partitions, load_client
from liftos_pipelines.tables import table

SKIPPED = "skipped: no source"
PREVIEW_ROWS = 8

DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3), warn_window=timedelta(hours=26))
"""What the daily schedule makes: late after a missed day, stale after three."""
WEEKLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=15), warn_window=timedelta(days=8))
"""What the weekly refit makes."""
FITTED_WEEKLY = frozenset(
    f"causal/{name}"
    for name in (
        "mmm_posterior",
        "champion",
        "channel_results",
        "response_curves",
        "budget_plan",
        "validation",
        "contributions",
        "report",
        "returns",
        "plan_steps",
        "scenarios",
        "scenario_weeks",
    )
)
READ_AGAIN = dg.RetryPolicy(max_retries=1, delay=1)
"""For what reads other people's stores; a source's own verdict on its data is not tried again."""


def lift_asset(
    name: str, *, ins: Mapping[str, dg.AssetIn] | None = None, **options: Any
) -> Callable[..., dg.AssetsDefinition]:
    """Declare the asset `module/asset`: partitioned by client, in its module's group, stored in the lake.

    `options` go to `dagster.asset` as they are (deps, kinds, check_specs, freshness_policy, ...).
    """
    module = name.split("/")[0]
    settings: dict[str, Any] = {
        "key": name.split("/"),
        "ins": ins,
        "partitions_def": clients_partitions,
        "group_name": module,
        "owners": [f"team:{module}"],
        "io_manager_key": "lake_io",
        "freshness_policy": WEEKLY if name in FITTED_WEEKLY else DAILY,
    }
    if module == "sources":
        settings["retry_policy"] = READ_AGAIN
    declare = dg.asset(**(settings | options))
    return lambda function: declare(_around(name, function))


def _around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """What happens around every asset's own work, the outermost last; each keeps the function's signature."""
    return observed(name, locked(name, function))


def inputs(*names: str, **renamed: str) -> dict[str, dg.AssetIn]:
    """Upstream tables as arguments: `inputs("sources/mentions")` is passed as `mentions`; rename by keyword."""
    by_argument = {name.split("/")[1]: name for name in names} | renamed
    return {argument: dg.AssetIn(key=name.split("/")) for argument, name in by_argument.items()}


def client_of(context: dg.AssetExecutionContext) -> ClientConfig:
    """The configuration of the client whose partition is being materialised."""
    return load_client(context.partition_key)


def result(frame: pl.DataFrame, **metadata: Any) -> dg.MaterializeResult[pl.DataFrame]:
    """A table with what a reader of the UI wants to know: rows, a preview, and the numbers passed in.

    Numbers are recorded as floats, so that the UI plots them over time; a `None` becomes the word `unknown`.
    """
    described = {key: _as_metadata(value) for key, value in metadata.items()}
    described.setdefault("status", dg.MetadataValue.text("ok"))
    described["dagster/partition_row_count"] = dg.MetadataValue.int(frame.height)
    if frame.height:
        described["preview"] = dg.MetadataValue.md(markdown_table(frame.head(PREVIEW_ROWS)))
    return dg.MaterializeResult(value=frame, metadata=described)


def skipped(name: str, source: str) -> dg.MaterializeResult[pl.DataFrame]:
    """An empty table that says why it is empty: the client has no such source. Nothing is invented."""
    return result(table(name).empty(), status=f"{SKIPPED} ({source})")


def _as_metadata(value: Any) -> Any:
    if value is None:
        return dg.MetadataValue.text("unknown")
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, (int, float)):
        return dg.MetadataValue.text("unknown") if value != value else dg.MetadataValue.float(float(value))
    if isinstance(value, pl.DataFrame):
        return dg.MetadataValue.md(markdown_table(value))
    return value


def markdown_table(frame: pl.DataFrame) -> str:
    """A small frame as a Markdown table; floats with four significant digits, long texts cut."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:,.4g}"
        text = "" if value is None else str(value)
        text = text.replace("|", "\\|").replace("\n", " ")
        return text if len(text) <= 60 else text[:57] + "..."

    lines = [" | ".join(frame.columns), " | ".join("---" for _ in frame.columns)]
    lines += [" | ".join(cell(value) for value in row) for row in frame.iter_rows()]
    return "\n".join(f"| {line} |" for line in lines)
