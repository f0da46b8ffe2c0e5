"""Whether a rival form of response is more probable than the model's own.

A score test sees small departures; an S-shaped response is a large one that the free half-saturation point and the
baseline half absorb. So the rival is held against the model as a whole, by their marginal likelihoods: each from its
mode and the curvature there, by the same compiled density that is sampled, in milliseconds.

Source: Tierney and Kadane (1986), Accurate approximations for posterior moments and marginal densities; Kass and
Raftery (1995), Bayes factors, for the reading of their size.
"""

from __future__ import annotations

import numpy as np

from liftos_pipelines.modules.causal.answers.results import Fitted
from liftos_pipelines.modules.causal.checks.check import Check
from liftos_pipelines.modules.causal.engine.marginal import window
from liftos_pipelines.modules.causal.engine.packing import Packed, pack
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.engine.sampling import initial_point
from liftos_pipelines.modules.causal.engine.structure import resolve
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.spec import ChannelSpec, ModelSpec

STEEP = 2.5
"""Hill slope of the rival."""
FACTOR = 3.0
"""Logarithm of the Bayes factor above which the check warns: Kass and Raftery call 3 to 5 strong."""
STEP = 1e-4


def steeper_curve(fitted: Fitted, spec: ModelSpec) -> Check:
    """Logarithm of the Bayes factor of S-shaped Hill curves of slope 2.5 against the model's curves.

    Rivals: all channels with a Hill curve of fixed slope at once, and each of them alone; the largest counts. If the
    model holds, a factor above exp(3) has a probability of at most exp(-3) for each rival.
    """
    design = fitted.design
    structure = fitted.media.structure
    free = {p.channel for p in structure.parameters if p.slot == 3}
    fixed = [
        name
        for c, name in enumerate(design.channels)
        if structure.curve[c] == "hill" and c not in free and structure.fixed[c, 3] < STEEP
    ]
    if not fixed:
        return Check(
            check="steeper_curve",
            value=None,
            threshold=FACTOR,
            status="unknown",
            detail="no channel has a Hill curve of fixed slope",
        )
    own = log_evidence(design, spec)
    rivals = {"all channels": fixed} | ({name: [name] for name in fixed} if len(fixed) > 1 else {})
    gains = {label: log_evidence(design, _steeper(spec, names)) - own for label, names in rivals.items()}
    best = max(gains, key=lambda label: gains[label])
    return Check(
        check="steeper_curve",
        value=gains[best],
        threshold=FACTOR,
        status="pass" if gains[best] <= FACTOR else "warn",
        detail=f"log Bayes factor of an S-shaped response (Hill slope {STEEP}) of {best}; above the threshold set "
        "causal.slope: free",
        n=len(rivals),
    )


def _steeper(spec: ModelSpec, names: list[str]) -> ModelSpec:
    own = {name: spec.channels.get(name, ChannelSpec()).model_copy(update={"slope": STEEP}) for name in names}
    return spec.model_copy(update={"channels": dict(spec.channels) | own})


def log_evidence(design: Design, spec: ModelSpec) -> float:
    """Laplace's approximation of the logarithm of the marginal likelihood, up to a constant of the data's.

    Lift tests are left out: the question is what the series alone says.
    """
    _, geos, weeks = design.shape
    structure, prior = resolve(spec, design.channels, design.frequency), effect_scale(design, spec)
    packed = pack(design, structure, prior, spec, window(design.baseline, geos, weeks), None)
    start = initial_point(packed, prior.mu, structure)
    mode, height = _mode(packed, start)
    curvature = _curvature(packed, mode)
    values = np.linalg.eigvalsh(curvature)
    # A flat direction is as wide as its prior, whose scale is about 1 in every coordinate.
    return height - 0.5 * float(np.log(np.maximum(values, 0.1)).sum())


def _density(packed: Packed, z: FloatArray) -> tuple[float, FloatArray]:
    from liftos_pipelines.modules.causal.engine.kernel import logp_grad

    gradient = np.empty_like(z)
    return float(logp_grad(z, gradient, packed.pool, packed.layout)), gradient


def _mode(packed: Packed, start: FloatArray) -> tuple[FloatArray, float]:
    """The highest of the modes found from two starts: short and long carry-over."""
    from scipy.optimize import minimize

    def loss(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _density(packed, np.ascontiguousarray(z))
        return -value, -gradient

    found = []
    for logit in (-1.0, 1.0):
        begin = start.copy()
        begin[: packed.n_shares] = logit
        solution = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-10})
        found.append((float(-solution.fun), np.asarray(solution.x)))
    height, mode = max(found, key=lambda pair: pair[0])
    return mode, height


def _curvature(packed: Packed, mode: FloatArray) -> FloatArray:
    """(n, n), minus the Hessian of the log-density, by central differences of its gradient."""
    n = len(mode)
    out = np.empty((n, n))
    for i in range(n):
        step = np.zeros(n)
        step[i] = STEP
        out[i] = (_density(packed, mode - step)[1] - _density(packed, mode + step)[1]) / (2 * STEP)
    return (out + out.T) / 2
