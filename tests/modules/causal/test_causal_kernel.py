"""The fused log-density is the PyMC model: the same density (up to a constant) and gradient, for every form."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from modules.causal.causal_worlds import make_world

from liftos_pipelines.modules.causal.engine.fit import Engine
from liftos_pipelines.modules.causal.engine.graph import build_model
from liftos_pipelines.modules.causal.engine.kernel import logp_grad
from liftos_pipelines.modules.causal.engine.packing import Packed, pack
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.engine.sampling import initial_point
from liftos_pipelines.modules.causal.engine.transforms import CARRY, CURVE, carry_weights, saturate
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.lift import LiftTests, prepare_lift_tests
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec


def packed_of(design: Design, spec: ModelSpec, lift: LiftTests | None) -> tuple[Packed, np.ndarray]:
    engine = Engine.of(design, spec, lift)
    prior = effect_scale(design, spec)
    packed = pack(design, engine.structure, prior, spec, engine.window(), lift)
    return packed, initial_point(packed, prior.mu, engine.structure)


def pymc_density(design: Design, spec: ModelSpec, lift: LiftTests | None) -> Any:
    """A function of the unconstrained vector in the kernel's order, giving log-density and gradient."""
    import pytensor
    import pytensor.tensor as pt

    model = build_model(design, spec, lift)
    order = [
        value
        for name in ("share", "positive", "log_effect", "sigma", "week_sigma", "geo_spread", "geo_offset")
        if name in model.named_vars
        for value in [model.rvs_to_values[model[name]]]
    ]
    density = model.logp()
    gradient = pt.concatenate([part.ravel() for part in pytensor.grad(density, order)])
    function = pytensor.function(
        order, [density, gradient], mode=pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile")
    )
    shapes = [model.initial_point()[value.name].shape for value in order]

    def evaluate(z: np.ndarray) -> tuple[float, np.ndarray]:
        parts, at = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(z[at : at + size].reshape(shape))
            at += size
        value, slope = function(*parts)
        return float(value), np.asarray(slope)

    return evaluate


def assert_equal(design: Design, spec: ModelSpec, lift: LiftTests | None = None, points: int = 4) -> None:
    packed, start = packed_of(design, spec, lift)
    evaluate = pymc_density(design, spec, lift)
    rng = np.random.default_rng(8)
    differences = []
    for _ in range(points):
        z = start + 0.6 * rng.standard_normal(start.size)
        gradient = np.empty_like(z)
        ours = logp_grad(z, gradient, packed.pool, packed.layout)
        theirs, slope = evaluate(z)
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-6 * max(1.0, float(np.abs(slope).max())))
        differences.append(ours - theirs)
    scale = max(1.0, float(np.abs(theirs)))
    assert np.ptp(differences) < 1e-8 * scale, differences


FORMS = [
    (
        list(CARRY)[i % len(CARRY)],
        list(CURVE)[i % len(CURVE)],
        list(CARRY)[(i + 3) % len(CARRY)],
        list(CURVE)[(i + 2) % 5],
    )
    for i in range(6)
]
"""Every carry-over and every curve at least once, two channels at a time; the third keeps the defaults."""


def frame_of(geos: int, *, reach: bool = False) -> pl.DataFrame:
    world = make_world(seed=2, geos=geos, weeks=60)
    frame = build_panel(world.outcome, world.media, world.controls, channels=world.channels).frame
    if reach:
        seen = 1 + 3 * np.random.default_rng(1).random(frame.height)
        frame = frame.with_columns(
            pl.Series("frequency__tv", np.where(frame["exposure__tv"].to_numpy() > 0, seen, 0.0)),
            (pl.col("exposure__tv") / seen).alias("reach__tv"),
        )
    return frame


@pytest.mark.parametrize("pair", FORMS, ids="-".join)
def test_every_form_equals_the_pymc_graph(pair: tuple[str, str, str, str]) -> None:
    channels = {
        "tv": {"adstock": pair[0], "saturation": pair[1]},
        "search": {"adstock": pair[2], "saturation": pair[3]},
    }
    spec = ModelSpec.from_config({"channels": channels, "slope": "free"})
    assert_equal(build_design(frame_of(1), spec), spec)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"week_sd": None},
        {"form": "multiplicative"},
        {"order": "saturation_first"},
        {"slope": 1.7},
        {"channels": {name: {"prior": {"of": "mroi", "median": 1.0, "sigma": 0.9}} for name in ("tv", "search")}},
        {
            "channels": {
                "tv": {"prior": {"of": "contribution", "median": 0.1, "sigma": 1.0}},
                "search": {"prior": {"of": "coefficient", "median": 0.5, "sigma": 1.0}, "saturation": "none"},
                "social": {"prior": {"of": "mroi", "median": 1.0, "sigma": 0.9}, "saturation": "tanh"},
            }
        },
    ],
    ids=["default", "independent geos", "multiplicative", "saturation first", "slope", "mroi", "priors"],
)
def test_geos_orders_and_priors_equal_the_pymc_graph(config: dict[str, Any]) -> None:
    spec = ModelSpec.from_config(config)
    assert_equal(build_design(frame_of(3), spec), spec)


@pytest.mark.parametrize("curve", ["hill", "logistic"])
def test_marginal_returns_of_single_curves_equal_the_pymc_graph(curve: str) -> None:
    prior = {"of": "mroi", "median": 1.0, "sigma": 0.9}
    spec = ModelSpec.from_config({"saturation": curve, "slope": "free", "channels": {"tv": {"prior": prior}}})
    assert_equal(build_design(frame_of(1), spec), spec)


@pytest.mark.parametrize("reach", [False, True], ids=["exposure", "reach and frequency"])
def test_lift_tests_equal_the_pymc_graph(reach: bool) -> None:
    spec = ModelSpec(slope="free", lift_carry_out_weeks=2)
    design = build_design(frame_of(2, reach=reach), spec)
    rows = [
        {"experiment_id": "a", "channel": "tv", "geos": ["g0"], "incremental_outcome": 900.0, "spend": None},
        {"experiment_id": "b", "channel": "tv", "geos": [], "incremental_outcome": -50.0, "spend": 2000.0},
        {"experiment_id": "c", "channel": "search", "geos": ["g1"], "incremental_outcome": 300.0, "spend": None},
    ]
    dates = {"start": design.weeks[20], "end": design.weeks[24], "std_error": 120.0}
    lift = prepare_lift_tests(pl.DataFrame([row | dates for row in rows]), design, spec.max_lag, 2)
    assert len(lift) == 3, lift.notes
    assert_equal(design, spec, lift)


def test_a_wrong_gradient_would_be_seen() -> None:
    """The comparison is not blind: half-saturation points moved by a thousandth give another gradient."""
    spec = ModelSpec()
    design = build_design(frame_of(1), spec)
    packed, start = packed_of(design, spec, None)
    gradient = np.empty_like(start)
    moved = start.copy()
    moved[packed.n_shares] += 1e-3
    logp_grad(moved, gradient, packed.pool, packed.layout)
    _, slope = pymc_density(design, spec, None)(start)
    assert not np.allclose(gradient, slope, rtol=1e-6, atol=1e-6)


def test_numpy_forms_are_the_kernels_forms() -> None:
    """What serves the draws is what was sampled: the same weights and curves."""
    from liftos_pipelines.modules.causal.engine import kernel_forms
    from liftos_pipelines.modules.causal.engine.transforms import CARRY_CODE, CURVE_CODE

    x = np.array([0.0, 1e-6, 0.3, 1.0, 4.0, 50.0])
    for name in CARRY:
        for first, second in ((0.3, 0.4), (0.9, 0.7), (0.05, 1.5)):
            out, d1, d2 = np.empty(9), np.empty(9), np.empty(9)
            kernel_forms.carry(CARRY_CODE[name], first, second, 9, out, d1, d2)
            expected = carry_weights(name, np.array(first), np.array(second), 8)  # type: ignore[arg-type]
            np.testing.assert_allclose(out, expected, atol=1e-12)
            assert abs(out.sum() - 1) < 1e-12
    for name in CURVE:
        for first, second in ((0.5, 1.0), (2.0, 2.3)):
            f, fx, f1, f2 = (np.empty(x.size) for _ in range(4))
            kernel_forms.curve(CURVE_CODE[name], x, first, second, f, fx, f1, f2)
            np.testing.assert_allclose(f, saturate(name, x, np.array(first), np.array(second)), atol=1e-12)  # type: ignore[arg-type]


def test_seasons_of_a_design_do_not_change_the_vector() -> None:
    """Dimension and layout follow from channels and geos alone: a window of weeks can be swapped without recompiling."""
    spec = ModelSpec()
    design = build_design(frame_of(2), spec)
    whole, _ = packed_of(design, spec, None)
    engine = Engine.of(design, spec)
    part = pack(design, engine.structure, effect_scale(design, spec), spec, engine.window(8), None)
    assert whole.dimension == part.dimension == 3 + 3 + 3 + 2 + 3 * 3
