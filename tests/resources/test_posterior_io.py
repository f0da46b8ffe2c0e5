"""Posteriors in the lake: read once by the assets of a run, and never stale nor shared."""

from __future__ import annotations

import os
from pathlib import Path

import arviz as az
import numpy as np

from liftos_pipelines.resources.posterior_io import HELD, _read, _read_last


def write(file: Path, mean: float) -> None:
    part = file.with_suffix(".part")
    az.from_dict({"roi": np.full((2, 10), mean)}, attrs={"version": 1}).to_netcdf(str(part), engine="netcdf4")
    os.replace(part, file)


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "p.nc"
    write(file, 1.0)
    assert float(_read(file).posterior["roi"].mean()) == 1.0
    write(file, 2.0)
    assert float(_read(file).posterior["roi"].mean()) == 2.0


def test_what_one_asset_changes_no_other_sees(tmp_path: Path) -> None:
    file = tmp_path / "p.nc"
    write(file, 1.0)
    mine = _read(file)
    mine.posterior["roi"][:] = 9.0
    mine.attrs["version"] = 7
    again = _read(file)
    assert float(again.posterior["roi"].mean()) == 1.0
    assert int(again.attrs["version"]) == 1


def test_few_posteriors_stay_in_memory_and_none_holds_its_file_open(tmp_path: Path) -> None:
    for number in range(HELD + 3):
        write(tmp_path / f"{number}.nc", 1.0)
        _read(tmp_path / f"{number}.nc")
    assert len(_read_last) == HELD
    assert not any(
        os.readlink(f"/proc/self/fd/{fd}").startswith(str(tmp_path))
        for fd in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{fd}")
    )
