"""Sampling: one compilation, the full fit and the validation fit, and everything kept as ArviZ InferenceData."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.modules.causal.design import SHOCK, Design, Scales
from liftos_pipelines.modules.causal.draws import Draws, Media, coefficients, draw_baseline, log_new_weeks
from liftos_pipelines.modules.causal.lift import LiftTests
from liftos_pipelines.modules.causal.model import EffectPrior, Window, build_model, effect_prior, window
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.transforms import FloatArray

if TYPE_CHECKING:
    import arviz as az

MOST_PREDICTED = 1000
"""Draws kept of the held-out weeks' predictions."""


def holdout_length(weeks: int, spec: ModelSpec) -> int:
    """Newest weeks that the validation fit does not see."""
    return spec.holdout_weeks if spec.holdout_weeks is not None else int(np.clip(weeks // 10, 4, 13))


def fit(
    design: Design, spec: ModelSpec, lift: LiftTests | None = None, *, notes: Sequence[str] = (), cores: int = 2
) -> az.InferenceData:
    """Sample the posterior.

    Returns
    -------
    InferenceData with `posterior` (retention, shape, log_effect, geo_effect, sigma, beta), `sample_stats`,
    `constant_data` (the frozen scales), and, with a holdout, `predictions`: outcome (sample, geo, week) of the newest
    weeks by a fit that has not seen them, and log_new_weeks (sample), the log density of what was then observed.
    `attrs` carry the specification, names and seconds.
    """
    import nutpie

    started = time.perf_counter()
    compiled = nutpie.compile_pymc_model(build_model(design, spec, lift), freeze_model=False)
    compiled_at = time.perf_counter()
    prior, media = effect_prior(design, spec), Media(design, spec.saturation, spec.max_lag)

    def sample(seen: Window, seed: int) -> tuple[Any, Draws]:
        traced = nutpie.sample(
            compiled.with_data(**seen.as_data()),
            draws=spec.draws,
            tune=spec.tune,
            chains=spec.chains,
            cores=min(cores, spec.chains),
            seed=seed,
            progress_bar=False,
        )
        draws = complete_draws(media, prior, traced.posterior)
        beta = draw_baseline(media, draws, seen, np.random.default_rng([seed, 1]))
        return traced, Draws(**{**vars(draws), "beta": beta})

    seen = window(design)
    traced, draws = sample(seen, spec.seed)
    sampled_at = time.perf_counter()
    out = _inference_data(traced, draws, design, spec)
    held = holdout_length(len(design.weeks), spec)
    if held:
        _, before = sample(window(design, held), spec.seed + 1)
        out.add_groups({"predictions": _predictions(media, before, design, spec, held)})
    out.attrs.update(
        {
            "status": "ok",
            "spec": spec.model_dump_json(),
            "channels": json.dumps(design.channels),
            "paid": design.paid,
            "geos": json.dumps(design.geos),
            "controls": json.dumps(design.controls),
            "columns": json.dumps(design.columns),
            "first_week": design.weeks[0].isoformat(),
            "last_week": design.weeks[-1].isoformat(),
            "weeks": len(design.weeks),
            "revenue_known": int(design.money),
            "experiments": json.dumps(lift.ids if lift else ()),
            "notes": json.dumps([*notes, *(lift.notes if lift else ())]),
            "compile_seconds": compiled_at - started,
            "sampling_seconds": sampled_at - compiled_at,
            "validation_seconds": time.perf_counter() - sampled_at,
        }
    )
    return out


def complete_draws(media: Media, prior: EffectPrior, posterior: Any) -> Draws:
    """Flat draws from the `posterior` group: chains one after the other."""

    def flat(name: str) -> FloatArray:
        values = posterior[name].to_numpy()
        return np.asarray(values.reshape(-1, *values.shape[2:]), dtype=float)

    channels, geos, _ = media.design.shape
    sigma = flat("sigma")
    if "geo_effect" in posterior:
        geo_effect = flat("geo_effect")
    elif "geo_offset" in posterior:
        geo_effect = np.exp(flat("geo_spread")[:, :, None] * flat("geo_offset"))
    else:
        geo_effect = np.ones((len(sigma), channels, geos))
    retention = np.minimum(flat("retention"), np.nextafter(1.0, 0.0))
    draws = coefficients(
        media,
        prior,
        retention=retention,
        shape=flat("shape"),
        log_effect=flat("log_effect"),
        geo_effect=geo_effect,
        sigma=sigma,
    )
    return Draws(**{**vars(draws), "beta": flat("beta") if "beta" in posterior else None})


def _inference_data(traced: Any, draws: Draws, design: Design, spec: ModelSpec) -> az.InferenceData:
    import arviz as az
    import xarray as xr

    def chained(values: FloatArray) -> FloatArray:
        return values.reshape(spec.chains, spec.draws, *values.shape[1:])

    posterior = traced.posterior[["retention", "shape", "log_effect", "sigma"]].assign(
        beta=(("chain", "draw", "baseline"), chained(np.asarray(draws.beta))),
        geo_effect=(("chain", "draw", "channel", "geo"), chained(draws.geo_effect)),
    )
    if "geo_spread" in traced.posterior:
        posterior = posterior.assign(geo_spread=traced.posterior["geo_spread"])
    posterior = posterior.assign_coords(geo=list(design.geos), baseline=list(design.columns))
    wanted = [name for name in ("diverging", "energy", "n_steps", "depth", "logp") if name in traced.sample_stats]
    scales = design.scales
    constant = xr.Dataset(
        {
            "size": ("geo", scales.size),
            "centre": ("geo", scales.centre),
            "media_scale": ("channel", scales.media),
            "control_centre": ("control", scales.control_centre),
            "control_spread": ("control", scales.control_spread),
            "spread": scales.spread,
            "knots": scales.knots,
        },
        coords={"geo": list(design.geos), "channel": list(design.channels), "control": list(design.controls)},
        attrs={
            "origin": scales.origin.isoformat(),
            "shocks": json.dumps([week.isoformat() for week in scales.shocks]),
        },
    )
    return az.InferenceData(posterior=posterior, sample_stats=traced.sample_stats[wanted], constant_data=constant)


def scales_of(data: az.InferenceData) -> Scales:
    """The frozen units a posterior was fitted in."""
    constant = data.constant_data
    return Scales(
        size=constant["size"].to_numpy(),
        spread=float(constant["spread"]),
        centre=constant["centre"].to_numpy(),
        media=constant["media_scale"].to_numpy(),
        control_centre=constant["control_centre"].to_numpy(),
        control_spread=constant["control_spread"].to_numpy(),
        origin=date.fromisoformat(constant.attrs["origin"]),
        knots=int(constant["knots"]),
        shocks=tuple(date.fromisoformat(week) for week in json.loads(constant.attrs["shocks"])),
    )


def spec_of(data: az.InferenceData) -> ModelSpec:
    """The specification a posterior was fitted with."""
    return ModelSpec.model_validate_json(data.attrs["spec"])


def predict(media: Media, draws: Draws, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Expected outcome and a noisy replicate, both (n_draws, n_geos, n_weeks), in outcome.

    Raises
    ------
    ValueError : the draws have no baseline
    """
    design, beta = media.design, draws.beta
    if beta is None:
        raise ValueError("the draws have no baseline: call draw_baseline first")
    _, geos, weeks = design.shape
    mean = (media.total(draws) + beta @ design.baseline.T).reshape(len(draws), geos, weeks)
    noisy = mean + draws.sigma[:, None, None] * rng.standard_normal(mean.shape)
    level = design.scales.centre[:, None] * design.scales.size[:, None]
    return mean * design.unit + level, noisy * design.unit + level


def _predictions(media: Media, draws: Draws, design: Design, spec: ModelSpec, held: int) -> Any:
    import xarray as xr

    draws = _unforeseen(draws, design)
    rng = np.random.default_rng([spec.seed, 2])
    new_weeks = log_new_weeks(media, draws, held)
    few = draws.thin(MOST_PREDICTED)
    _, noisy = predict(media, few, rng)
    week = [day.isoformat() for day in design.weeks[-held:]]
    return xr.Dataset(
        {
            "outcome": (("sample", "geo", "week"), noisy[:, :, -held:]),
            "log_new_weeks": ("full_sample", new_weeks),
        },
        coords={"geo": list(design.geos), "week": week},
    )


def _unforeseen(draws: Draws, design: Design) -> Draws:
    """Nobody who forecasts a week knows that it will be set apart as an incident: those terms are 0."""
    beta = np.array(draws.beta)
    beta[:, [i for i, name in enumerate(design.columns) if name.startswith(SHOCK)]] = 0.0
    return Draws(**{**vars(draws), "beta": beta})
