"""Jobs that stay built: a selection of assets costs its job, snapshot and plan once, not once a run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Set
from typing import Any

import dagster as dg
from dagster._core.definitions.job_definition import JobDefinition
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.origin import JobPythonOrigin
from dagster._utils.hosted_user_process import recon_repository_from_origin

KEPT = 64
ASSET_JOB = "__ASSET_JOB"
_lock = threading.Lock()
_built: OrderedDict[Any, JobDefinition] = OrderedDict()
_repositories: dict[Any, RepositoryDefinition] = {}


class HeldJob(ReconstructableJob):
    """A reconstructable job that is reconstructed once in this process."""

    def get_subset(
        self,
        *,
        op_selection: Iterable[str] | None = None,
        asset_selection: Set[dg.AssetKey] | None = None,
        asset_check_selection: Set[dg.AssetCheckKey] | None = None,
    ) -> HeldJob:
        chosen = super().get_subset(
            op_selection=op_selection, asset_selection=asset_selection, asset_check_selection=asset_check_selection
        )
        return HeldJob(*chosen)

    def get_repository_definition(self) -> RepositoryDefinition:  # type: ignore[override]
        pointer = self.repository.pointer
        with _lock:
            if pointer not in _repositories:
                _repositories[pointer] = self.repository.get_definition()
            return _repositories[pointer]

    def get_definition(self) -> JobDefinition:  # type: ignore[override]
        key = (
            self.repository.pointer,
            self.job_name,
            *(
                None if each is None else frozenset(each)
                for each in (self.op_selection, self.asset_selection, self.asset_check_selection)
            ),
        )
        repository = self.get_repository_definition()
        with _lock:
            if key not in _built:
                _built[key] = repository.get_maybe_subset_job_def(
                    self.job_name, self.op_selection, self.asset_selection, self.asset_check_selection
                )
            _built.move_to_end(key)
            while len(_built) > KEPT:
                _built.popitem(last=False)
            return _built[key]

    def to_dict(self) -> Any:
        # Another process, such as a step's, rebuilds the job as Dagster does.
        return ReconstructableJob(*self).to_dict()


def held_job(origin: JobPythonOrigin) -> HeldJob:
    """The job that a run's code origin names."""
    return HeldJob(recon_repository_from_origin(origin.repository_origin), origin.job_name)


def asset_job(module: str, attribute: str, working_directory: str) -> HeldJob:
    """The job of all assets of a code location given as a module."""
    return HeldJob(ReconstructableRepository.for_module(module, attribute, working_directory), ASSET_JOB)
