"""Great Expectations itself: rules over rows, as it answers them. No Dagster, so that a helper process can run it.

One ephemeral context a process serves every suite: to build one takes longer than to judge a source.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import polars as pl

from liftos_pipelines.checks.suites import Rule
from liftos_pipelines.tables import DATE, TIME

Answer = dict[str, Any]
"""`success`, `result` (as Great Expectations words it), and `error`: why a rule could not be judged, or None."""


def evaluate(name: str, rows: pl.DataFrame, rules: Sequence[Rule], index: Sequence[str], examples: int) -> list[Answer]:
    """Judge rows by a suite.

    Parameters
    ----------
    name : of the table, for the suite
    rows : the columns that the rules need
    index : columns that find a failing row again
    examples : most failing rows to name, a rule

    Returns
    -------
    one answer a rule, in their order
    """
    import great_expectations as gx
    from great_expectations.expectations.registry import get_expectation_impl

    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            get_expectation_impl(rule.type)(**rule.arguments, meta={"position": position})
            for position, rule in enumerate(rules)
        ],
    )
    batch = prepare().get_batch({"dataframe": _as_pandas(rows)})
    validation = batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": examples,
            "unexpected_index_column_names": list(index),
        },
    )
    answers: list[Answer] = [{}] * len(rules)
    for judged in validation.results:
        raised = judged.exception_info.get("raised_exception")
        answers[judged.expectation_config.meta["position"]] = {
            "success": bool(judged.success),
            "result": dict(judged.result),
            "error": judged.exception_info.get("exception_message") if raised else None,
        }
    return answers


@cache
def prepare() -> Any:
    """The batch definition that takes any frame; made once a process."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    # Without its documentation site, which would leave a folder behind at every validation.
    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=stores))
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return (
        context.data_sources.add_pandas("liftos")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
    )


def _as_pandas(rows: pl.DataFrame) -> Any:
    """Times lose their zone (all UTC), as Great Expectations compares them."""
    casts = [
        pl.col(column).dt.replace_time_zone(None) if dtype == TIME else pl.col(column).cast(pl.Datetime("us"))
        for column, dtype in rows.schema.items()
        if dtype in (TIME, DATE)
    ]
    return rows.with_columns(casts).to_pandas()
