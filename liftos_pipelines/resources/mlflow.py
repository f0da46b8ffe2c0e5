"""MLflow as a Dagster resource: one run per materialisation, tagged so that each finds the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from liftos_pipelines import settings


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
        client = context.partition_key
        mlflow.set_experiment(experiment_id=self._experiment(client))
        asset = "/".join(context.asset_key.path)
        labels = {"dagster.run_id": context.run.run_id, "dagster.asset": asset, "liftos.client": client} | tags
        with mlflow.start_run(run_name=name, tags=labels) as run:
            yield run

    def open(self) -> Any:
        """The `mlflow` module, pointed at this store."""
        import logging

        import mlflow

        # The first use of a store tells of each of its migrations.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        uri = self.uri()
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(uri)
        return mlflow

    def _experiment(self, client: str) -> str:
        mlflow = self.open()
        known = mlflow.get_experiment_by_name(client)
        if known is not None:
            return str(known.experiment_id)
        artifacts = settings.mlflow_artifacts()
        location = artifacts if "://" in artifacts else Path(artifacts).resolve().as_uri()
        try:
            return str(mlflow.create_experiment(client, artifact_location=f"{location}/{client}"))
        except mlflow.exceptions.MlflowException:  # two runs of one client began together
            known = mlflow.get_experiment_by_name(client)
            if known is None:
                raise
            return str(known.experiment_id)
