"""A peer's figure says whether it was measured here; the agreement of two samplers is told in Monte Carlo errors."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import lognorm, truncnorm

from liftos_pipelines import settings
from liftos_pipelines.bench.causal import THEIR_HALF, example, under_their_prior
from liftos_pipelines.bench.causal_runs import Sampling
from liftos_pipelines.bench.rivals import MERIDIAN, PYMC_MARKETING, SCRIPTS, Peer
from liftos_pipelines.clients import read_client_file
from liftos_pipelines.modules.causal.engine.transforms import CURVE
from liftos_pipelines.modules.causal.spec import ModelSpec

ANSWER = {
    "peer": "Meridian", "version": "2.1.0", "backend": "JAX", "sampler": "NUTS", "chains": 4, "draws": 1000,
    "fit_seconds": 50.0, "cpu_seconds": 60.0, "wall_seconds": 61.0, "rhat_max": 1.004, "divergences": 3,
    "roi_mean": [3.0, 1.5], "roi_sd": [2.0, 1.0], "roi_ess_bulk": [400.0, 2500.0],
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_peers_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for peer in (MERIDIAN, PYMC_MARKETING):
        monkeypatch.delenv(peer.variable, raising=False)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)


def interpreter(tmp_path: Path, body: str) -> Path:
    """An executable in the place of the peer's Python."""
    file = tmp_path / "python"
    file.write_text(f"#!{sys.executable}\nimport os, sys\n{body}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("peer", [MERIDIAN, PYMC_MARKETING], ids=lambda peer: peer.name)
def test_without_an_interpreter_the_figure_is_named_as_recorded(peer: Peer, tmp_path: Path) -> None:
    found = peer.fit(tmp_path / "any.csv", "national")
    assert found is not None
    assert not found.measured
    assert found.label.endswith("recorded")
    assert peer.variable in found.detail


def test_nothing_is_said_of_a_data_set_that_was_neither_measured_nor_recorded(tmp_path: Path) -> None:
    assert PYMC_MARKETING.fit(tmp_path / "any.csv", "geo") is None


def test_a_peer_with_an_interpreter_is_measured_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It talks before it answers, claims a wall time of its own, and needs the threads we keep for ourselves.
    body = f"assert 'OMP_NUM_THREADS' not in os.environ\nprint('sampling ...')\nprint({json.dumps(json.dumps(ANSWER))})"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(MERIDIAN.variable, str(interpreter(tmp_path, body)))
    found = MERIDIAN.fit(tmp_path / "any.csv", "national", "--knots", "10")
    assert found is not None
    assert found.label == "Meridian 2.1.0, measured here"
    assert found.seconds is not None
    assert found.seconds < 10 < ANSWER["wall_seconds"]  # type: ignore[operator]
    assert found.ess_per_second == pytest.approx(400 / 50)
    assert found.roi_error == pytest.approx((2 / 20, 1 / 50))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit('No module named meridian')", "No module named meridian"),
        ("print('all is well')", "cannot be read"),
        ("pass", "exit code 0"),
    ],
)
def test_a_peer_that_fails_does_not_pass_for_measured(
    body: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MERIDIAN.variable, str(interpreter(tmp_path, body)))
    found = MERIDIAN.fit(tmp_path / "any.csv", "national")
    assert found is not None
    assert not found.measured
    assert reason in found.detail


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MERIDIAN.variable, str(tmp_path / "absent"))
    found = MERIDIAN.fit(tmp_path / "any.csv", "geo")
    assert found is not None
    assert "absent" in found.detail


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("fit_*.py")), ids=lambda file: file.stem)
def test_a_peer_is_fitted_without_any_code_of_ours(script: Path) -> None:
    names = {
        name
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert not [name for name in names if name.startswith("liftos")]


def test_weights_bring_the_draws_under_meridians_prior() -> None:
    rng = np.random.default_rng(3)
    prior = CURVE["hill"][0]
    half = lognorm(s=prior.b, scale=np.exp(prior.a)).rvs(size=(4, 20_000, 1), random_state=rng)
    sampling = Sampling(
        roi=half, half_saturation=half, ess=np.array([80_000.0]), compile_seconds=0.0, sampling_seconds=1.0,
        divergences=0, draws=80_000,
    )  # fmt: skip
    (mean,), (error,), kept = under_their_prior(sampling)
    centre, sd, low, high = THEIR_HALF
    true = truncnorm((low - centre) / sd, (high - centre) / sd, loc=centre, scale=sd).mean()
    assert abs(mean - true) < 4 * error
    assert 0 < kept < 1
    # The dummy: unweighted draws say something else.
    assert abs(float(half.mean()) - true) > 4 * error


@pytest.mark.parametrize(
    ("name", "knots", "draws"), [("meridian-default", 10, 500), ("meridian-default-geo", 20, 1000)]
)
def test_the_benchmarks_clients_have_meridians_baseline(
    name: str, knots: int, draws: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PROJECT", Path(__file__).parents[2])
    (tmp_path / "bench").mkdir()
    file = tmp_path / "bench" / "client.yaml"
    file.write_text(example(name), encoding="utf-8")
    client = read_client_file(file)
    spec = ModelSpec.from_config(client.causal)
    assert client.client == "bench"
    assert (spec.knots, spec.independent_knots, spec.seasonality, spec.shock_z) == (knots, True, 0, None)
    assert (spec.chains, spec.draws) == (4, draws)
