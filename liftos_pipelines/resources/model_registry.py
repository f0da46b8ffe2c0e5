"""Versions of a client's marketing-mix model in the MLflow Model Registry, and the alias that says which one serves."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
        self._mlflow = tracking.open()
        self._client = self._mlflow.MlflowClient()

    def register(self, run_id: str, tags: Mapping[str, str]) -> Version:
        """The posterior that a run has logged as `FILE`, as a new version."""
        errors = self._mlflow.exceptions.MlflowException
        try:
            self._client.create_registered_model(self.name)
        except errors as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            self.name, source=f"runs:/{run_id}/{FILE}", run_id=run_id, tags=dict(tags)
        )
        return _version(made)

    def champion(self) -> Version | None:
        """The version that the alias names, whoever set it."""
        return self._found(lambda: self._client.get_model_version_by_alias(self.name, CHAMPION))

    def version(self, number: int) -> Version | None:
        return self._found(lambda: self._client.get_model_version(self.name, str(number)))

    def promote(self, number: int, at: datetime) -> None:
        """Move the alias to this version."""
        self._client.set_registered_model_alias(self.name, CHAMPION, str(number))
        self.tag(number, PROMOTED, at.isoformat(timespec="seconds"))

    def tag(self, number: int, key: str, value: str) -> None:
        self._client.set_model_version_tag(self.name, str(number), key, value)

    def load(self, version: Version) -> Any:
        """The posterior of a version, read whole from its artefact; `attrs` carry its number.

        Raises
        ------
        ModelGone : the artefact is not there or cannot be read
        """
        import arviz as az

        with tempfile.TemporaryDirectory() as folder:
            try:
                file = self._mlflow.artifacts.download_artifacts(artifact_uri=version.source, dst_path=folder)
                data = az.from_netcdf(file)
            except (self._mlflow.exceptions.MlflowException, OSError) as error:
                raise ModelGone(
                    f"version {version.number} of {self.name} serves, but its artefact {version.source} cannot be "
                    f"read: restore it, or move the alias {CHAMPION} to another version ({error})"
                ) from error
            data.load()
            data.close()
        data.attrs["version"] = version.number
        return data

    def _found(self, ask: Any) -> Version | None:
        try:
            return _version(ask())
        except self._mlflow.exceptions.MlflowException as error:
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
