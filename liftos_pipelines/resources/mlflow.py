"""MLflow as a Dagster resource: one run per materialisation, tagged so that each finds the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from liftos_pipelines import helper, settings
from liftos_pipelines.resources.mlflow_store import attach, experiment_of, open_store, record_run


class MlflowResource(dg.ConfigurableResource):
    """Tracking and registry; an empty URI means the setting of this process (SQLite in LIFTOS_HOME)."""

    tracking_uri: str = ""

    def uri(self) -> str:
        return self.tracking_uri or settings.mlflow_uri()

    @contextmanager
    def run(self, context: dg.AssetExecutionContext, name: str, **tags: str) -> Iterator[Any]:
        """An MLflow run in the client's experiment, ended however the body ends.

        Yields the active `mlflow.ActiveRun`; inside, log with `mlflow` as usual. Tags carry the Dagster run id, the
        asset key and the client.
        """
        mlflow = self.open()
        mlflow.set_experiment(experiment_id=experiment_of(mlflow, context.partition_key))
        with mlflow.start_run(run_name=name, tags=_tags(context) | tags) as run:
            yield run

    def record(
        self,
        context: dg.AssetExecutionContext,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        files: Sequence[Path] = (),
        tags: Mapping[str, str] | None = None,
    ) -> Callable[[], str]:
        """Begin to log a whole run at once, beside this process where `liftos run` has a helper.

        Returns a function that waits for the run's id; `files` must stay until then. This process need not import
        MLflow.
        """
        labels = _tags(context) | dict(tags or {})
        paths = [str(file) for file in files]
        return helper.submit(
            record_run, self.uri(), context.partition_key, name, labels, dict(params), dict(metrics), paths
        )

    def attach(self, run_id: str, files: Sequence[Path], folder: str) -> str:
        """Add files to an earlier run, in `folder` of its artefacts; returns why it could not, or nothing."""
        return str(helper.call(attach, self.uri(), run_id, [str(file) for file in files], folder))

    def open(self) -> Any:
        """The `mlflow` module, pointed at this store."""
        return open_store(self.uri())


def _tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    return {
        "dagster.run_id": context.run.run_id,
        "dagster.asset": "/".join(context.asset_key.path),
        "liftos.client": context.partition_key,
    }
