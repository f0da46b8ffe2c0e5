from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from liftos_pipelines.simulate import marketing, marketing_truth

Demo = tuple[Path, dict[str, Any]]


def tables(demo: Demo) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The client's marketing table and its true decomposition."""
    folder, _ = demo
    panel = pl.read_csv(folder / "data" / "marketing.csv", try_parse_dates=True)
    return panel, pl.read_csv(folder / "truth_marketing.csv", try_parse_dates=True)


def carried_over(exposure: np.ndarray, retention: float, lags: int = 8) -> np.ndarray:
    weights = retention ** np.arange(lags) if retention else np.eye(1, lags)[0]
    return np.convolve(exposure, weights / weights.sum())[: exposure.size]


def regenerated(panel: pl.DataFrame, channel: str, true: dict[str, Any], retention: float) -> np.ndarray:
    """Contribution of a channel from nothing but the client's file and truth.json, geo after geo."""
    parts = []
    for (geo,), rows in panel.group_by(["region"], maintain_order=True):
        population = float(rows["population"][0])
        per_head = rows[f"{channel}_impressions"].to_numpy() / population
        stock = carried_over(per_head, retention)
        saturated = stock / (stock + true["half_saturation"])
        parts.append(true["ceiling_per_head"] * true["effect_by_geo"][geo] * population * saturated)
    return np.concatenate(parts)


def test_the_truth_regenerates_every_contribution_from_the_clients_file(demo: Demo) -> None:
    panel, parts = tables(demo)
    for channel, true in demo[1]["marketing"]["channels"].items():
        again = regenerated(panel, channel, true, true["retention"])
        written = parts[f"contribution_{channel}"].to_numpy()
        assert again == pytest.approx(written, rel=1e-9, abs=1e-9)
        # A world without carry-over would not pass.
        assert regenerated(panel, channel, true, 0.0) != pytest.approx(written, rel=0.05)


def test_the_outcome_is_the_sum_of_its_parts(demo: Demo) -> None:
    panel, parts = tables(demo)
    contributions = parts.select(pl.sum_horizontal(pl.col("^contribution_.*$"))).to_series()
    total = parts["baseline"] + parts["newsletter"] + parts["controls"] + contributions - parts["incident_loss"]
    noise = panel["conversions"] - total
    assert noise.to_numpy() == pytest.approx(parts["noise"].to_numpy(), abs=0.006)  # conversions have two decimals
    assert total.to_numpy() != pytest.approx(panel["conversions"].to_numpy(), abs=1.0)


def test_the_stated_roi_is_revenue_by_spend(demo: Demo) -> None:
    panel, parts = tables(demo)
    for channel, true in demo[1]["marketing"]["channels"].items():
        revenue = (parts[f"contribution_{channel}"] * panel["revenue_per_conversion"]).sum()
        assert revenue / panel[f"{channel}_spend"].sum() == pytest.approx(true["roi"])
        assert 0 < true["mroi"] < true["roi"]


def test_the_incident_costs_conversions_in_its_weeks_only(demo: Demo) -> None:
    _, parts = tables(demo)
    incident = demo[1]["incident"]
    lost = parts.filter(pl.col("incident_loss") > 0)
    assert sorted({str(week) for week in lost["week"]}) == ["2025-09-08", "2025-09-15", "2025-09-22"]
    assert lost["incident_loss"].sum() == pytest.approx(incident["conversions_lost"])


@pytest.mark.parametrize("test", marketing.LIFT_TESTS, ids=lambda test: test.experiment_id)
def test_a_lift_tests_window_holds_the_whole_effect_of_its_spend(test: marketing.LiftTest) -> None:
    world = marketing.generate(7)
    c = [channel.name for channel in marketing.CHANNELS].index(test.channel)
    geos = [list(marketing.GEOS).index(geo) for geo in test.geos]
    without = world.impressions[:, :, c].copy()
    without[np.ix_(geos, range(test.window.start, test.window.stop))] = 0
    population = np.array(list(marketing.GEOS.values()), dtype=float)
    counterfactual = marketing.response(
        without,
        population,
        retention=marketing.CHANNELS[c].retention,
        half_saturation=float(world.half_saturation[c]),
        ceiling=float(world.ceiling[c]),
        effect=world.effect[:, c],
    )
    effect = (world.contribution[:, :, c] - counterfactual)[geos].sum()
    in_window = world.contribution[geos, test.window, c].sum()
    assert in_window == pytest.approx(effect, rel=0.05)


def least_squares(world: marketing.Marketing, media: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiple of each channel's `media` (n_geos * n_weeks, n_channels) in the outcome, and its standard error.

    The rest of the world's form is told: geo levels, trend, two harmonics, controls, newsletter, incident.
    """
    geos, weeks = world.outcome.shape
    level = world.baseline.mean(axis=1, keepdims=True)
    time = np.arange(weeks) / 52.18
    seasons = [f(2 * np.pi * k * time) for k in (1, 2) for f in (np.sin, np.cos)]
    columns = [np.repeat(np.eye(geos), weeks, axis=0)]
    columns += [(level * row[None, :]).reshape(-1, 1) / level.mean() for row in (time, *seasons)]
    columns += [(level * part).reshape(-1, 1) / level.mean() for part in (world.price - 100, world.competitor - 50)]
    columns += [part.reshape(-1, 1) for part in (world.newsletter, world.loss)]
    weight = np.repeat(1 / level.ravel(), weeks)
    design, target = np.hstack([*columns, media]) * weight[:, None], world.outcome.ravel() * weight
    estimate, residual, *_ = np.linalg.lstsq(design, target, rcond=None)
    variance = float(residual[0]) / (target.size - design.shape[1])
    error = np.sqrt(np.diag(variance * np.linalg.inv(design.T @ design)))
    return estimate[-media.shape[1] :], error[-media.shape[1] :]


def without_carry_over(world: marketing.Marketing) -> np.ndarray:
    """Media shapes of a model that knows all but the carry-over, with the true totals."""
    population = np.array(list(marketing.GEOS.values()), dtype=float)
    shapes = [
        marketing.response(
            world.impressions[:, :, c],
            population,
            retention=0.0,
            half_saturation=float(world.half_saturation[c]),
            ceiling=1.0,
            effect=world.effect[:, c],
        ).ravel()
        for c in range(len(marketing.CHANNELS))
    ]
    totals = world.contribution.sum(axis=(0, 1))
    return np.stack([shape * total / shape.sum() for shape, total in zip(shapes, totals, strict=True)], axis=1)


def test_spend_varies_enough_to_recover_the_contributions() -> None:
    """Least squares told the true shapes is right as often as it says, over seeds; so a model can be.

    Over seeds and not on one: a single draw of noise is allowed to be unlucky, and on seed 7 it is, for social
    (z 3.1, the only one of 300 channels beyond 3 in 60 seeds; docs/demo.md).
    """
    z, errors, blind = [], [], []
    for seed in range(20):
        world = marketing.generate(seed)
        multiple, error = least_squares(world, world.contribution.reshape(-1, len(marketing.CHANNELS)))
        z.append((multiple - 1) / error)
        errors.append(error)
        multiple, error = least_squares(world, without_carry_over(world))
        blind.append((multiple - 1) / error)
    held = int((np.abs(z) < 1.645).sum())
    assert 82 <= held <= 97  # 99 % range of a binomial with n 100, p .9
    assert np.abs(np.mean(z, axis=0)).max() < 3 / np.sqrt(20)
    by_channel = dict(zip((channel.name for channel in marketing.CHANNELS), np.mean(errors, axis=0), strict=True))
    assert max(by_channel[name] for name in ("tv", "search", "social", "video")) < 0.10
    assert by_channel["display"] < 0.35  # small and saturated: planted as the hard one
    # The model that ignores carry-over must not pass.
    assert int((np.abs(blind) < 1.645).sum()) < 82


def test_the_best_split_keeps_the_budget_and_beats_the_present_one() -> None:
    world = marketing.generate(7)
    split = marketing_truth.best_split(world, (0.7, 1.3))
    spend = world.spend.sum(axis=(0, 1))
    assert (split * spend).sum() == pytest.approx(spend.sum())
    assert np.all((split >= 0.7 - 1e-9) & (split <= 1.3 + 1e-9))

    def total(scales: np.ndarray) -> float:
        return sum(marketing_truth.conversions(world, c, float(scale)) for c, scale in enumerate(scales))

    best = total(split)
    assert best > total(np.ones(split.size))
    rng = np.random.default_rng(1)
    for _ in range(200):  # no random split of the same budget within the bounds does better
        scales = rng.uniform(0.7, 1.3, split.size)
        scales *= spend.sum() / (scales * spend).sum()
        if np.all((scales >= 0.7) & (scales <= 1.3)):
            assert total(scales) <= best * (1 + 1e-9)
