"""The rival curve: found where responses are S-shaped, not where they are not; the evidence is what it is called."""

from functools import cache

import numpy as np
import pytest

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.rivals import FACTOR, log_evidence, steeper_curve
from liftos_pipelines.modules.causal.engine.draws import Draws, Media
from liftos_pipelines.modules.causal.engine.structure import resolve
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.panel import build_panel
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.simulate.mmm_worlds import make_world

SPEC = ModelSpec()


@cache
def design_of(family: str, seed: int) -> Design:
    world = make_world(family, seed)
    frame = build_panel(world.outcome, world.media, world.controls, channels=world.names).frame
    return build_design(frame, SPEC)


def fitted_with(design: Design, spec: ModelSpec) -> Fitted:
    """The check reads design and structure only: one draw stands for the posterior."""
    count, geos, _ = design.shape
    draws = Draws(
        form=np.ones((1, count, 4)),
        geo_effect=np.ones((1, count, geos)),
        coefficient=np.ones((1, count)),
        sigma=np.ones(1),
        week_sigma=np.zeros(1),
    )
    return Fitted(design=design, media=Media(design, resolve(spec, design.channels, design.frequency)), draws=draws)


def factor(family: str, seed: int, spec: ModelSpec = SPEC) -> float:
    value = steeper_curve(fitted_with(design_of(family, seed), spec), spec).value
    assert value is not None
    return value


def test_an_s_shaped_response_is_found_and_a_concave_one_is_not_called_so() -> None:
    bent = [factor("s_shaped", seed) for seed in range(400, 406)]
    sound = [factor(family, seed) for family in ("clean", "outlier_spend", "weak_signal") for seed in range(400, 404)]
    assert sum(value > FACTOR for value in bent) >= 5
    assert max(sound) < FACTOR
    assert factor("geo_clean", 400) < FACTOR


def test_a_model_with_the_steep_curve_is_not_called_too_flat() -> None:
    bent = steeper_curve(fitted_with(design_of("s_shaped", 401), SPEC), SPEC)
    assert bent.status == "warn"
    steep = SPEC.model_copy(update={"slope": 2.5})
    assert steeper_curve(fitted_with(design_of("s_shaped", 401), steep), steep).status == "unknown"
    free = SPEC.model_copy(update={"slope": "free"})
    assert steeper_curve(fitted_with(design_of("s_shaped", 401), free), free).value is None


def test_evidence_falls_where_the_prior_contradicts_the_data() -> None:
    design = design_of("clean", 401)
    assert log_evidence(design, SPEC) == pytest.approx(log_evidence(design, SPEC))
    absurd = SPEC.model_copy(update={"roi_prior": SPEC.roi_prior.model_copy(update={"median": 60.0, "sigma": 0.2})})
    assert log_evidence(design, absurd) < log_evidence(design, SPEC) - 20
