"""A refit takes the served model's units where its numbers mean the same, and its own where they do not."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import World, make_world

from liftos_pipelines.modules.causal.checks.champion import comparable_scales, reference_of
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec

SPEC = ModelSpec(max_lag=4, seasonality=1)


def panel_of(world: World, channels: list[str] | None = None) -> pl.DataFrame:
    return build_panel(world.outcome, world.media, world.controls, channels=channels or world.channels).frame


def stored(design: Design) -> Any:
    """What a fit on this design keeps of it."""
    import arviz as az
    import xarray as xr

    effect = np.random.default_rng(0).normal(size=(2, 50, len(design.channels)))
    data = az.from_dict(
        posterior={"log_effect": effect}, coords={"channel": list(design.channels)}, dims={"log_effect": ["channel"]}
    )
    data.add_groups({"constant_data": xr.Dataset({"spread": 1.0}, attrs={"scales": design.scales.to_json()})})
    data.attrs |= {name: json.dumps(getattr(design, name)) for name in ("geos", "channels", "controls")}
    data.attrs |= {"first_week": design.weeks[0].isoformat(), "spec": SPEC.model_dump_json(), "version": 7}
    return data


@pytest.fixture(scope="module")
def served() -> Any:
    return stored(build_design(panel_of(make_world(seed=2, geos=2, weeks=80)), SPEC))


def test_new_weeks_are_read_in_the_old_units_with_their_own_knots_and_incidents(served: Any) -> None:
    longer = panel_of(make_world(seed=2, geos=2, weeks=110))
    own = build_design(longer, SPEC)
    scales, why = comparable_scales(own, served, SPEC.form)
    assert scales is not None, why
    again = build_design(longer, SPEC, scales=scales)
    old = json.loads(served.constant_data.attrs["scales"])
    assert again.scales.media.tolist() == old["media"] != own.scales.media.tolist()
    assert (again.scales.knots, again.scales.weeks) == (own.scales.knots, 110) != (old["knots"], old["weeks"])
    # The same panel twice: the old weeks are then the very same numbers.
    shorter = build_design(panel_of(make_world(seed=2, geos=2, weeks=80)), SPEC)
    assert again.x[:, :, :80] == pytest.approx(shorter.x)
    assert again.y[:, :80] == pytest.approx(shorter.y)


def test_another_panel_keeps_its_own_units_and_says_why(served: Any) -> None:
    world = make_world(seed=2, geos=2, weeks=110)
    fewer = build_design(panel_of(world, ["tv", "search"]), SPEC)
    assert comparable_scales(fewer, served, SPEC.form) == (None, "channels are no longer those of the served model")
    one_geo = build_design(panel_of(make_world(seed=2, geos=1, weeks=110)), SPEC)
    assert "geos" in comparable_scales(one_geo, served, SPEC.form)[1]
    own = build_design(panel_of(world), SPEC)
    assert "form" in comparable_scales(own, served, "multiplicative")[1]
    late = replace(own, weeks=own.weeks[1:])
    assert "no longer begins on 2023-01-02" in comparable_scales(late, served, SPEC.form)[1]
    cents = build_design(panel_of(replace(world, outcome=world.outcome.with_columns(pl.col("outcome") * 100))), SPEC)
    assert "factor" in comparable_scales(cents, served, SPEC.form)[1]


def test_the_reference_names_version_and_effects(served: Any) -> None:
    reference = json.loads(reference_of(served))
    assert reference["version"] == 7
    assert set(reference["log_effect"]) == {"tv", "search", "social"}
    effect = served.posterior["log_effect"].sel(channel="tv").to_numpy()
    assert reference["log_effect"]["tv"] == {
        "mean": pytest.approx(effect.mean()),
        "sd": pytest.approx(effect.std()),
    }
