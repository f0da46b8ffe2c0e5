"""Drawing from the posterior: the fused kernel or the PyMC graph, both by nutpie's NUTS."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.draws import Draws
from liftos_pipelines.modules.causal.engine.packing import Natural, Packed, unpack
from liftos_pipelines.modules.causal.engine.structure import Structure
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.inputs.lift import LiftTests
from liftos_pipelines.modules.causal.spec import ModelSpec

JITTER = 0.3
LARGE = 60
"""From this many dimensions on the metric has a low-rank part: with 20 geos effects, spreads and offsets are correlated
and it gives five times the effective draws; with 3 geos or none a diagonal metric gives more."""


@dataclass(frozen=True, kw_only=True)
class Sampled(Natural):
    """Draws by chain, in natural units: leading axes are chain and draw.

    `unconstrained` (n_chains, n_draws, n_dimensions) is the sampled vector, None from the PyMC graph.
    """

    unconstrained: FloatArray | None
    diverging: NDArray[np.bool_]
    energy: FloatArray
    n_steps: NDArray[np.int64]
    compile_seconds: float
    seconds: float

    def draws(self, structure: Structure) -> Draws:
        """Chains one after the other; coefficients are still 1 (see `draws.complete`)."""

        def flat(array: FloatArray) -> FloatArray:
            return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])

        return Draws(
            form=structure.values(flat(self.shares), flat(self.positives)),
            geo_effect=flat(self.geo_effect),
            coefficient=np.ones_like(flat(self.log_effect)),
            sigma=flat(self.sigma),
            week_sigma=flat(self.week_sigma),
        )


def initial_point(packed: Packed, effect_mu: FloatArray, structure: Structure) -> FloatArray:
    """(n_dimensions,), unconstrained prior medians, and half of the outcome's spread as noise."""
    start = np.zeros(packed.dimension)
    at = packed.n_shares
    start[at : at + packed.n_positives] = [p.shape.a for p in structure.positives]
    at += packed.n_positives
    start[at : at + packed.channels] = effect_mu
    at += packed.channels
    start[at] = np.log(0.5)
    if packed.week_shocks:
        start[at + 1] = np.log(0.2)
    if packed.geos > 1:
        spread = at + 1 + int(packed.week_shocks)
        start[spread : spread + packed.channels] = np.log(0.2)
    return start


def sample_fused(
    packed: Packed,
    start: FloatArray,
    *,
    chains: int,
    draws: int,
    tune: int,
    seed: int,
    cores: int,
    target_accept: float,
    near: FloatArray | None = None,
) -> Sampled:
    """NUTS on the compiled log-density; chains begin at `start` plus normal jitter.

    `near` are unconstrained draws (n_draws, n_dimensions) of a posterior that is nearly this one: chains then begin
    among them, in their units.
    """
    import nutpie

    began = time.perf_counter()
    from liftos_pipelines.modules.causal.engine.native import Frame, compiled_model

    frame = None if near is None else Frame.around(near)
    centre = start if near is None else np.zeros(packed.dimension)

    def begin(chain_seed: int) -> FloatArray:
        return np.asarray(centre + JITTER * np.random.default_rng(chain_seed).standard_normal(centre.size))

    model = compiled_model(packed, begin, frame)
    ready = time.perf_counter()
    trace = nutpie.sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=min(cores, chains),
        seed=seed,
        target_accept=target_accept,
        low_rank_modified_mass_matrix=near is None and packed.dimension > LARGE,
        progress_bar=False,
    )
    z = trace.posterior["z"].to_numpy()
    return _from_unconstrained(z, packed, trace.sample_stats, ready - began, time.perf_counter() - ready)


def _from_unconstrained(z: FloatArray, packed: Packed, stats: Any, compiling: float, seconds: float) -> Sampled:
    return Sampled(
        **vars(unpack(z, packed)),
        unconstrained=z,
        diverging=stats["diverging"].to_numpy().astype(bool),
        energy=stats["energy"].to_numpy(),
        n_steps=stats["n_steps"].to_numpy(),
        compile_seconds=compiling,
        seconds=seconds,
    )


def sample_graph(
    design: Design, spec: ModelSpec, lift: LiftTests | None, structure: Structure, *, seed: int, cores: int
) -> Sampled:
    """NUTS on the PyMC graph, compiled by nutpie: minutes slower, for what the kernel does not know."""
    import nutpie

    from liftos_pipelines.modules.causal.engine.graph import build_model

    began = time.perf_counter()
    compiled = nutpie.compile_pymc_model(build_model(design, spec, lift))
    ready = time.perf_counter()
    trace = nutpie.sample(
        compiled,
        draws=spec.draws,
        tune=spec.tune,
        chains=spec.chains,
        cores=min(cores, spec.chains),
        seed=seed,
        target_accept=spec.target_accept,
        progress_bar=False,
    )
    posterior = trace.posterior
    channels, geos, _ = design.shape
    shape = (spec.chains, spec.draws)

    def of(name: str, otherwise: FloatArray) -> FloatArray:
        return posterior[name].to_numpy() if name in posterior else otherwise

    spread = of("geo_spread", np.zeros((*shape, channels)))
    offset = of("geo_offset", np.zeros((*shape, channels, geos)))
    return Sampled(
        shares=of("share", np.zeros((*shape, 0))),
        positives=of("positive", np.zeros((*shape, 0))),
        log_effect=posterior["log_effect"].to_numpy(),
        sigma=posterior["sigma"].to_numpy(),
        week_sigma=of("week_sigma", np.zeros(shape)),
        geo_spread=spread,
        geo_effect=np.exp(spread[..., None] * offset),
        unconstrained=None,
        diverging=trace.sample_stats["diverging"].to_numpy().astype(bool),
        energy=trace.sample_stats["energy"].to_numpy(),
        n_steps=trace.sample_stats["n_steps"].to_numpy(),
        compile_seconds=ready - began,
        seconds=time.perf_counter() - ready,
    )
