"""MLflow's store without Dagster: opening it, experiments, a finished run in one call (which a helper may answer)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liftos_pipelines import settings


def open_store(uri: str) -> Any:
    """The `mlflow` module, pointed at this store."""
    import mlflow

    # The first use of a store tells of each of its migrations.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    return mlflow


def experiment_of(mlflow: Any, client: str) -> str:
    """Id of the client's experiment, made when there is none."""
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


def record_run(
    uri: str,
    client: str,
    name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    files: Sequence[str],
) -> str:
    """Log a whole run at once: parameters, metrics and files; returns its id."""
    mlflow = open_store(uri)
    with mlflow.start_run(experiment_id=experiment_of(mlflow, client), run_name=name, tags=dict(tags)) as run:
        mlflow.log_params(dict(params))
        mlflow.log_metrics(dict(metrics))
        for file in files:
            mlflow.log_artifact(file)
        return str(run.info.run_id)


def attach(uri: str, run_id: str, files: Sequence[str], folder: str) -> str:
    """Add files to a run that has ended, in `folder` of its artefacts; returns why it could not, or nothing."""
    mlflow = open_store(uri)
    try:
        for file in files:
            mlflow.MlflowClient().log_artifact(run_id, file, folder)
    except mlflow.exceptions.MlflowException as error:  # the run was deleted
        return str(error)
    return ""


def prepare() -> None:
    """Import MLflow and bring this process's own store up to its schema, which a new one needs seconds for."""
    open_store(settings.mlflow_uri()).get_experiment_by_name("none")
