"""Peers beside us: fitted here by their own interpreter where one is named, else the figure recorded earlier.

A peer is measured when its variable names a Python that has it (`make peers` makes both environments), and is otherwise
named as recorded: a figure that was not measured on this machine must not look as if it were.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from liftos_pipelines import settings

SCRIPTS = Path(__file__).parent / "peers"
FOLDER = ".peers"
"""Environments that `make peers` makes, in the project's folder."""
PATIENCE = 3600
"""Seconds after which a peer is given up."""
WHERE_FROM = "recorded on another day on two cores, when the aims were set"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class PeerFit:
    """What a peer took for one data set, and what it found."""

    name: str
    measured: bool
    detail: str
    """How it was measured; where a recorded figure is from, and why it was not measured."""
    seconds: float | None
    """From the start of the process to diagnosed draws."""
    ess_per_second: float | None
    """Least bulk effective sample size of any ROI, per second of compilation and sampling."""
    roi: tuple[float, ...] | None
    """Posterior means, channels by name."""
    roi_error: tuple[float, ...] | None
    """Their Monte Carlo standard errors."""

    @property
    def label(self) -> str:
        return f"{self.name}, {'measured here' if self.measured else 'recorded'}"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool, the variable that names its interpreter, its script, and what was recorded of it by data set."""

    name: str
    variable: str
    folder: str
    script: str
    recorded: dict[str, PeerFit]

    def interpreter(self) -> Path | None:
        """The Python of the variable, else of `make peers`, else None."""
        named = os.environ.get(self.variable)
        if named:
            return Path(named).expanduser()
        made = settings.PROJECT / FOLDER / self.folder / "bin" / "python"
        return made if made.is_file() else None

    def fit(self, file: Path, data_set: str, *options: str) -> PeerFit | None:
        """Measured here where the interpreter is named, else recorded; None when neither is known."""
        python = self.interpreter()
        if python is None:
            return self._recorded(data_set, f"set {self.variable} to measure it here")
        try:
            return measure(python, SCRIPTS / self.script, file, options)
        except PeerFailed as why:
            return self._recorded(data_set, f"the run here failed: {why}")

    def _recorded(self, data_set: str, why: str) -> PeerFit | None:
        known = self.recorded.get(data_set)
        return None if known is None else PeerFit(**{**vars(known), "detail": f"{known.detail}; {why}"})


class PeerFailed(RuntimeError):
    """The peer's process ended without an answer; the message is the end of what it said."""


def measure(python: Path, script: Path, file: Path, options: Sequence[str] = ()) -> PeerFit:
    """Run a peer's script and read its answer.

    Raises
    ------
    PeerFailed : no such interpreter, an error in the peer, no answer, or more than an hour
    """
    # Their usual threads, not the one thread a worker that this project asks for; nothing of our paths.
    hidden = (*THREADS, "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    load, began = os.getloadavg()[0], time.perf_counter()
    command = [str(python), str(script), str(file), *options]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(str(error)) from error
    seconds = time.perf_counter() - began
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PeerFailed(f"exit code {done.returncode}, {said[:300]}")
    try:
        answer = json.loads(lines[-1])
        return _read(answer, seconds, load)
    except (ValueError, KeyError, TypeError) as error:
        raise PeerFailed(f"its answer cannot be read ({error!r}): {lines[-1][:300]}") from error


def _read(answer: dict[str, object], seconds: float, load: float) -> PeerFit:
    def numbers(name: str) -> tuple[float, ...]:
        return tuple(float(value) for value in answer[name])  # type: ignore[attr-defined]

    ess, fitting = numbers("roi_ess_bulk"), float(answer["fit_seconds"])  # type: ignore[arg-type]
    return PeerFit(
        name=f"{answer['peer']} {answer['version']}",
        measured=True,
        detail=(
            f"{answer['backend']}, {answer['sampler']}, {answer['chains']} x {answer['draws']} draws; compilation and "
            f"sampling {fitting:.0f} s, processor {float(answer['cpu_seconds']):.0f} s, "  # type: ignore[arg-type]
            f"least ROI ESS {min(ess):,.0f}, R-hat {float(answer['rhat_max']):.3f}, "  # type: ignore[arg-type]
            f"{answer['divergences']} divergences, ROI {', '.join(f'{roi:.2f}' for roi in numbers('roi_mean'))}; "
            f"load average before: {load:.1f}"
        ),
        seconds=seconds,
        ess_per_second=min(ess) / fitting,
        roi=numbers("roi_mean"),
        roi_error=tuple(sd / size**0.5 for sd, size in zip(numbers("roi_sd"), ess, strict=True)),
    )


def _known(
    name: str, seconds: float, ess_per_second: float, roi: tuple[float, ...] | None = None, error: float = 0.0
) -> PeerFit:
    return PeerFit(
        name=name,
        measured=False,
        detail=WHERE_FROM,
        seconds=seconds,
        ess_per_second=ess_per_second,
        roi=roi,
        roi_error=None if roi is None else tuple(error for _ in roi),
    )


MERIDIAN = Peer(
    name="Meridian",
    variable="LIFTOS_PEER_MERIDIAN",
    folder="meridian",
    script="fit_meridian.py",
    recorded={
        "national": _known("Meridian 2.1", 134.0, 3.6, roi=(2.92, 1.58, 2.43, 1.59), error=0.05),
        "geo": _known("Meridian 2.1", 567.0, 1.4),
    },
)
PYMC_MARKETING = Peer(
    name="PyMC-Marketing",
    variable="LIFTOS_PEER_PYMC_MARKETING",
    folder="pymc-marketing",
    script="fit_pymc_marketing.py",
    recorded={"national": _known("PyMC-Marketing 0.19 with nutpie", 93.0, 8.0)},
)
