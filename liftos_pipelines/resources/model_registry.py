"""Versions of a client's marketing-mix model in the MLflow Model Registry, and the alias that says which one serves.

The registry is asked by the run's helper process where there is one, so that the run need not import MLflow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from liftos_pipelines import helper
from liftos_pipelines.resources.mlflow_store import open_store

if TYPE_CHECKING:
    from liftos_pipelines.resources.mlflow import MlflowResource

CHAMPION = "champion"
GATE, PROMOTED, HOLD = "gate", "promoted_at", "hold"
"""Tags of a version: its verdict, when it became champion, and `true` set by a person who wants it kept."""
FILE = "mmm_posterior.nc"


class ModelGone(ValueError):
    """The registry names a version whose artefact cannot be read; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One registered model. `source` is the artefact's URI."""

    number: int
    source: str
    run_id: str
    created: datetime
    tags: Mapping[str, str]


class ModelRegistry:
    """The models of one client, `<client>-mmm`."""

    def __init__(self, client: str, tracking: MlflowResource) -> None:
        self.name = f"{client}-mmm"
        self._uri = tracking.uri()

    def register(self, run_id: str, tags: Mapping[str, str]) -> Version:
        """The posterior that a run has logged as `FILE`, as a new version."""
        return helper.call(_register, self._uri, self.name, run_id, dict(tags))

    def champion(self) -> Version | None:
        """The version that the alias names, whoever set it."""
        return helper.call(_by_alias, self._uri, self.name)

    def version(self, number: int) -> Version | None:
        return helper.call(_by_number, self._uri, self.name, number)

    def promote(self, number: int, at: datetime) -> None:
        """Move the alias to this version."""
        helper.call(_promote, self._uri, self.name, number)
        self.tag(number, PROMOTED, at.isoformat(timespec="seconds"))

    def tag(self, number: int, key: str, value: str) -> None:
        helper.call(_tag, self._uri, self.name, number, key, value)

    def load(self, version: Version) -> Any:
        """The posterior of a version, read whole from its artefact; `attrs` carry its number.

        Raises
        ------
        ModelGone : the artefact is not there or cannot be read
        """
        import arviz as az

        with tempfile.TemporaryDirectory() as folder:
            try:
                data = az.from_netcdf(helper.call(_fetch, self._uri, version.source, folder), engine="netcdf4")
            except OSError as error:
                raise ModelGone(
                    f"version {version.number} of {self.name} serves, but its artefact {version.source} cannot be "
                    f"read: restore it, or move the alias {CHAMPION} to another version ({error})"
                ) from error
            data.load()
            data.close()
        data.attrs["version"] = version.number
        return data


def _register(uri: str, name: str, run_id: str, tags: dict[str, str]) -> Version:
    mlflow = open_store(uri)
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return _version(client.create_model_version(name, source=f"runs:/{run_id}/{FILE}", run_id=run_id, tags=tags))


def _by_alias(uri: str, name: str) -> Version | None:
    return _found(uri, lambda client: client.get_model_version_by_alias(name, CHAMPION))


def _by_number(uri: str, name: str, number: int) -> Version | None:
    return _found(uri, lambda client: client.get_model_version(name, str(number)))


def _promote(uri: str, name: str, number: int) -> None:
    open_store(uri).MlflowClient().set_registered_model_alias(name, CHAMPION, str(number))


def _tag(uri: str, name: str, number: int, key: str, value: str) -> None:
    open_store(uri).MlflowClient().set_model_version_tag(name, str(number), key, value)


def _fetch(uri: str, source: str, folder: str) -> str:
    """Path of the artefact, fetched into a folder; an OSError where it cannot be."""
    mlflow = open_store(uri)
    try:
        return str(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder))
    except mlflow.exceptions.MlflowException as error:
        raise OSError(str(error)) from error


def _found(uri: str, ask: Callable[[Any], Any]) -> Version | None:
    mlflow = open_store(uri)
    try:
        return _version(ask(mlflow.MlflowClient()))
    except mlflow.exceptions.MlflowException as error:
        # A name without versions does not exist; an alias that was never set is an invalid parameter.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _version(made: Any) -> Version:
    return Version(
        number=int(made.version),
        source=str(made.source),
        run_id=str(made.run_id),
        created=datetime.fromtimestamp(made.creation_timestamp / 1000, UTC),
        tags=dict(made.tags),
    )
