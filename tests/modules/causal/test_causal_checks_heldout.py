"""Held-out weeks: skill against plain baselines, coverage and ranks judged by what they would be if the model were right."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from modules.causal.causal_worlds import make_world
from modules.causal.model_worlds import SPEC, Source
from scipy import stats

from liftos_pipelines.modules.causal.checks import forecast
from liftos_pipelines.modules.causal.checks import heldout as checks_heldout
from liftos_pipelines.modules.causal.checks.check import Check
from liftos_pipelines.modules.causal.checks.gate import Gate
from liftos_pipelines.modules.causal.checks.heldout import Heldout, heldout_checks
from liftos_pipelines.modules.causal.engine.marginal import draw_baseline, window
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel

AHEAD, FOLDS = 10, 3


def joint(rng: np.random.Generator, n: int, geos: int) -> np.ndarray:
    """(n, n_geos, AHEAD): an error of the trend that a whole fold shares, one of the week, one of the geo."""
    trend = rng.standard_normal((n, 1, 1)) * np.linspace(0.5, 1.5, AHEAD)
    return trend + 0.5 * rng.standard_normal((n, 1, AHEAD)) + rng.standard_normal((n, geos, AHEAD))


def calibration(scale: float, bias: float, n: int, geos: int = 2) -> list[tuple[Check, Check]]:
    """Both checks on `n` histories whose errors are `scale` times as large as foreseen, plus `bias`."""
    rng = np.random.default_rng(3)
    out = []
    for _ in range(n):
        held = Heldout(
            predicted=tuple(joint(rng, 500, geos) for _ in range(FOLDS)),
            actual=tuple(joint(rng, 1, geos)[0] * scale + bias for _ in range(FOLDS)),
            begins=(60, 70, 80),
            ahead=AHEAD,
        )
        coverage, ranks = checks_heldout._calibration_checks(held, Gate(), 1)
        out.append((coverage, ranks))
    return out


def test_right_predictions_pass_although_weeks_share_their_errors() -> None:
    found = calibration(1.0, 0.0, 120)
    assert np.mean([coverage.status != "pass" for coverage, _ in found]) < 0.1
    assert np.mean([coverage.status == "fail" for coverage, _ in found]) < 0.03
    assert np.mean([ranks.status != "pass" for _, ranks in found]) < 0.07
    # The dummy: weeks counted as if they were independent are blamed more often than they should.
    margin = 0.9 - 1.645 * np.sqrt(0.9 * 0.1 / (AHEAD * FOLDS))
    assert np.mean([(coverage.value or 0) < margin for coverage, _ in found]) > 0.08


@pytest.mark.parametrize(("scale", "bias", "which"), [(2.5, 0.0, 0), (1.0, 3.0, 0), (1.0, 3.0, 1), (0.3, 0.0, 1)])
def test_narrow_wide_and_biased_predictions_are_seen(scale: float, bias: float, which: int) -> None:
    found = calibration(scale, bias, 25)
    assert np.mean([checks[which].status != "pass" for checks in found]) > 0.8


def small_design(geos: int) -> Design:
    world = make_world(seed=4, geos=geos, weeks=104)
    panel = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame
    return build_design(panel, SPEC)


@pytest.mark.parametrize("geos", [1, 3])
def test_the_closed_forecast_is_the_mean_of_exact_draws(geos: int) -> None:
    design = small_design(geos)
    seen = window(design.baseline, geos, 104, 12)
    sigma, week_sigma = np.array([0.3]), np.array([0.2 if geos > 1 else 0.0])
    beta = forecast._expected(design.y[None], seen, sigma, week_sigma)[0]
    n = 4000
    draws = draw_baseline(
        np.repeat(design.y[None], n, axis=0),
        seen,
        np.repeat(sigma, n),
        np.repeat(week_sigma, n),
        np.random.default_rng(0),
    )
    assert np.all(np.abs(draws.mean(axis=0) - beta) < 5 * draws.std(axis=0) / np.sqrt(n) + 1e-9)


def test_the_forecast_without_media_is_the_normal_conditional_mean() -> None:
    design = small_design(1)
    x, y = design.baseline, design.y[0]
    old, sigma = np.arange(104) < 92, 0.4
    covariance = x @ x.T + sigma**2 * np.eye(104)
    gain = covariance[np.ix_(~old, old)] @ np.linalg.inv(covariance[np.ix_(old, old)])
    grid = forecast.NOISE_GRID
    density = [
        stats.multivariate_normal(cov=x[old] @ x[old].T + s**2 * np.eye(92)).logpdf(y[old])
        + np.log(s)
        - 0.5 * (s / forecast.NOISE_SD) ** 2
        for s in grid
    ]
    weight = np.exp(np.array(density) - max(density))
    weight /= weight.sum()
    expected = np.zeros(12)
    for s, w in zip(grid, weight, strict=True):
        covariance = x @ x.T + s**2 * np.eye(104)
        gain = covariance[np.ix_(~old, old)] @ np.linalg.inv(covariance[np.ix_(old, old)])
        expected += w * (gain @ y[old])
    shocks = [i for i, name in enumerate(design.columns) if name.startswith("shock")]
    assert not shocks
    found = forecast.without_media(design, SPEC, 12)[:, -12:]
    assert found == pytest.approx(design.to_outcome(np.pad(expected, (92, 0))[None])[:, -12:], rel=1e-6)


def idata(design: Design, predicted: list[np.ndarray]) -> Any:
    """Folds of 12 weeks, the newest first; `predicted` (n_samples, n_geos, 12) each."""
    import arviz as az
    import xarray as xr

    begins = [104 - 12 * (k + 1) for k in range(len(predicted))]
    data = az.from_dict(posterior={"sigma": np.ones((1, 4))})
    folds = xr.Dataset(
        {"outcome": (("fold", "sample", "geo", "ahead"), np.stack(predicted))},
        coords={"first_week": ("fold", [design.weeks[begin].isoformat() for begin in begins])},
    )
    data.add_groups({"predictions": folds})
    return data


def verdicts(design: Design, predicted: list[np.ndarray]) -> dict[str, Check]:
    return {check.check: check for check in heldout_checks(idata(design, predicted), design, SPEC)}


def test_a_good_forecast_passes_and_a_poor_one_is_worse_than_both_plain_baselines() -> None:
    design = Source(geos=2, weeks=104).draw(2).design
    # A world in which media matter, so that the baseline without them is beaten.
    rng = np.random.default_rng(0)
    parts = [design.outcome[:, 104 - 12 * (k + 1) : 104 - 12 * k] for k in range(3)]
    noise = 0.03 * design.outcome.mean(axis=1)[:, None]
    right = [part + noise * rng.standard_normal((500, *part.shape)) for part in parts]
    off = [part + noise * rng.standard_normal(part.shape) for part in parts]
    good = verdicts(replace(design, outcome=np.hstack([design.outcome[:, :68], *off[::-1]])), right)
    assert {check.status for check in good.values()} == {"pass"}
    assert good["heldout_accuracy"].n == 36
    poor = verdicts(design, [part * 2.5 for part in right])
    assert poor["heldout_accuracy"].status == "fail"
    for name in ("holdout_skill", "media_skill", "interval_coverage"):
        assert poor[name].status == "fail", name
    assert poor["pit_uniformity"].status == "warn"


def test_without_a_back_test_every_held_out_check_is_unknown() -> None:
    import arviz as az

    design = small_design(1)
    checks = heldout_checks(az.from_dict(posterior={"sigma": np.ones((1, 4))}), design, SPEC)
    assert [check.check for check in checks] == list(checks_heldout.HELDOUT)
    assert {check.status for check in checks} == {"unknown"}
    assert {check.value for check in checks} == {None}
