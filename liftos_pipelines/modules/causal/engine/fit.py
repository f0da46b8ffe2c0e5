"""From design to checked draws: sampling with remedies, back-tests, and everything kept as ArviZ InferenceData."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.modules.causal.engine.backtest import Fold, backtest
from liftos_pipelines.modules.causal.engine.draws import Draws, Media, complete, with_baseline
from liftos_pipelines.modules.causal.engine.marginal import Window, window
from liftos_pipelines.modules.causal.engine.packing import has_week_shocks, pack
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.engine.sampling import Sampled, initial_point, sample_fused, sample_graph
from liftos_pipelines.modules.causal.engine.structure import Structure, resolve
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design, Scales
from liftos_pipelines.modules.causal.inputs.lift import LiftTests
from liftos_pipelines.modules.causal.spec import ModelSpec

if TYPE_CHECKING:
    import arviz as az

LEAST_ESS, MOST_R_HAT = 400.0, 1.01
"""Short of these, or with a divergent draw, the next remedy is tried."""
REMEDIES = ((0.98, 1.5), (0.995, 2.0))
"""Acceptance to aim at where draws diverged, and how many times the steps of adaptation, of each further attempt; where
chains disagree or too few draws are effective, there are twice as many draws."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Everything about a model that does not depend on which weeks it sees."""

    design: Design
    spec: ModelSpec
    lift: LiftTests | None
    structure: Structure
    media: Media
    cores: int

    @classmethod
    def of(cls, design: Design, spec: ModelSpec, lift: LiftTests | None = None, cores: int = 2) -> Engine:
        structure = resolve(spec, design.channels, design.frequency)
        return cls(
            design=design, spec=spec, lift=lift, structure=structure, media=Media(design, structure), cores=cores
        )

    def window(self, last_weeks_out: int = 0) -> Window:
        _, geos, weeks = self.design.shape
        return window(self.design.baseline, geos, weeks, last_weeks_out)

    def sample(
        self,
        seen: Window,
        *,
        seed: int,
        near: FloatArray | None = None,
        chains: int | None = None,
        draws: int | None = None,
        tune: int | None = None,
        target_accept: float | None = None,
    ) -> Sampled:
        """Draws by the fused kernel, begun at the prior's medians or among the draws `near` (see `sample_fused`)."""
        prior = effect_scale(self.design, self.spec)
        packed = pack(self.design, self.structure, prior, self.spec, seen, self.lift)
        return sample_fused(
            packed,
            initial_point(packed, prior.mu, self.structure),
            chains=chains or self.spec.chains,
            draws=draws or self.spec.draws,
            tune=tune or self.spec.tune,
            seed=seed,
            cores=self.cores,
            target_accept=target_accept or self.spec.target_accept,
            near=near,
        )

    def complete(self, sampled: Sampled, seen: Window, seed: int) -> Draws:
        """Draws with coefficients and baseline."""
        draws = complete(
            self.media, effect_scale(self.design, self.spec), sampled.draws(self.structure), _flat(sampled.log_effect)
        )
        return with_baseline(self.media, draws, seen, np.random.default_rng([seed, 1]))


def fit(
    design: Design,
    spec: ModelSpec,
    lift: LiftTests | None = None,
    *,
    notes: Sequence[str] = (),
    cores: int = 2,
) -> az.InferenceData:
    """Sample the posterior, with remedies where the draws are not good enough, and test it on weeks it has not seen.

    Returns
    -------
    InferenceData with `posterior` (share, positive, log_effect, geo_effect, sigma, week_sigma, beta), `sample_stats`,
    `constant_data` (the frozen scales), `unconstrained` (the sampled vector, from the fused kernel), and, with a
    holdout, `predictions` (see `backtest`). `attrs` carry the specification, names, attempts and seconds.
    """
    engine = Engine.of(design, spec, lift, cores)
    seen = engine.window()
    sampled, attempts = _with_remedies(engine, seen)
    draws = engine.complete(sampled, seen, spec.seed)
    finished = time.perf_counter()
    out = _inference_data(sampled, draws, engine)
    folds = backtest(engine, sampled, draws)
    if folds:
        out.add_groups({"predictions": _predictions(folds, design)})
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
            "inputs": inputs_digest(design),
            "revenue_known": int(design.money),
            "experiments": json.dumps(lift.ids if lift else ()),
            "notes": json.dumps([*notes, *(lift.notes if lift else ())]),
            "sampler": "pymc" if sampled.unconstrained is None else "fused",
            "attempts": json.dumps(attempts),
            "compile_seconds": sampled.compile_seconds,
            "sampling_seconds": sum(attempt["seconds"] for attempt in attempts),
            "validation_seconds": time.perf_counter() - finished,
        }
    )
    return out


def _with_remedies(engine: Engine, seen: Window) -> tuple[Sampled, list[dict[str, float]]]:
    """The first good enough draws, or the last attempt's; what each attempt gave is kept."""
    spec = engine.spec
    if spec.sampler == "pymc":
        sampled = sample_graph(engine.design, spec, engine.lift, engine.structure, seed=spec.seed, cores=engine.cores)
        return sampled, [_attempt(sampled, spec.target_accept)]
    sampled = engine.sample(seen, seed=spec.seed)
    attempts = [_attempt(sampled, spec.target_accept)]
    for number, (accept, tune) in enumerate(REMEDIES, start=1):
        last = attempts[-1]
        # NaN is not good enough.
        enough = last["r_hat"] <= MOST_R_HAT and last["ess"] >= LEAST_ESS
        if enough and last["divergences"] == 0:
            break
        aim = max(accept, spec.target_accept) if last["divergences"] else spec.target_accept
        sampled = engine.sample(
            seen,
            seed=spec.seed + 1000 * number,
            tune=int(tune * spec.tune),
            draws=spec.draws if enough else 2**number * spec.draws,
            target_accept=aim,
        )
        attempts.append(_attempt(sampled, aim))
    return sampled, attempts


def _attempt(sampled: Sampled, accept: float) -> dict[str, float]:
    import arviz as az

    arrays = [sampled.shares, sampled.positives, sampled.log_effect, sampled.sigma[..., None]]
    if sampled.geo_effect.shape[-1] > 1:
        arrays += [sampled.geo_spread, sampled.geo_effect.reshape(*sampled.sigma.shape, -1)]
    drawn = az.convert_to_dataset({"parameter": np.concatenate(arrays, axis=-1)})
    ess = [az.ess(drawn, method=method)["parameter"].to_numpy() for method in ("bulk", "tail")]
    return {
        "target_accept": accept,
        "divergences": float(sampled.diverging.sum()),
        "r_hat": float(np.max(az.rhat(drawn)["parameter"].to_numpy())),
        "ess": float(np.min(ess)),
        "seconds": sampled.seconds,
    }


def _flat(array: FloatArray) -> FloatArray:
    # Not -1: a model without shares has none, of no size.
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _inference_data(sampled: Sampled, draws: Draws, engine: Engine) -> az.InferenceData:
    import arviz as az
    import xarray as xr

    design, structure = engine.design, engine.structure
    chains, number = sampled.sigma.shape
    chained = ("chain", "draw")
    variables: dict[str, tuple[tuple[str, ...], FloatArray]] = {
        "log_effect": ((*chained, "channel"), sampled.log_effect),
        "sigma": (chained, sampled.sigma),
        "beta": ((*chained, "baseline"), np.asarray(draws.beta).reshape(chains, number, -1)),
        "geo_effect": ((*chained, "channel", "geo"), sampled.geo_effect),
    }
    if structure.shares:
        variables["share"] = ((*chained, "share_of"), sampled.shares)
    if structure.positives:
        variables["positive"] = ((*chained, "positive_of"), sampled.positives)
    if len(design.geos) > 1:
        variables["geo_spread"] = ((*chained, "channel"), sampled.geo_spread)
    if has_week_shocks(design, engine.spec):
        variables["week_sigma"] = (chained, sampled.week_sigma)
    posterior = xr.Dataset(
        variables,
        coords={
            "chain": np.arange(chains),
            "draw": np.arange(number),
            "channel": list(design.channels),
            "geo": list(design.geos),
            "baseline": list(design.columns),
            "share_of": [p.label for p in structure.shares],
            "positive_of": [p.label for p in structure.positives],
        },
    )
    stats = xr.Dataset(
        {
            "diverging": (chained, sampled.diverging),
            "energy": (chained, sampled.energy),
            "n_steps": (chained, sampled.n_steps),
        }
    )
    scales = design.scales
    constant = xr.Dataset(
        {
            "size": ("geo", scales.size),
            "centre": ("geo", scales.centre),
            "media_scale": ("channel", scales.media),
            "reach_scale": ("channel", scales.reach),
            "spread": scales.spread,
            "knots": scales.knots,
            # What the fit saw: a later panel that says otherwise of these weeks was restated.
            "outcome": (("geo", "week"), design.outcome),
        },
        coords={"geo": list(design.geos), "channel": list(design.channels)},
        attrs={
            "origin": scales.origin.isoformat(),
            "shocks": json.dumps([week.isoformat() for week in scales.shocks]),
            "scales": scales.to_json(),
        },
    )
    out = az.InferenceData(posterior=posterior, sample_stats=stats, constant_data=constant)
    if sampled.unconstrained is not None:
        out.add_groups({"unconstrained": xr.Dataset({"z": ((*chained, "parameter"), sampled.unconstrained)})})
    return out


def _predictions(folds: Sequence[Fold], design: Design) -> Any:
    import xarray as xr

    data: dict[str, Any] = {"outcome": (("fold", "sample", "geo", "ahead"), np.stack([fold.outcome for fold in folds]))}
    for name in ("k_hat", "ess"):
        data[name] = ("fold", np.array([getattr(fold, name) for fold in folds]))
    data["roi_effect"] = (("fold", "sample", "channel"), np.stack([fold.log_effect for fold in folds]))
    return xr.Dataset(
        data,
        coords={
            "geo": list(design.geos),
            "channel": list(design.channels),
            "first_week": ("fold", [fold.first_week.isoformat() for fold in folds]),
            "method": ("fold", [fold.method for fold in folds]),
        },
    )


def scales_of(data: az.InferenceData) -> Scales:
    """The frozen units a posterior was fitted in."""
    return Scales.from_json(data.constant_data.attrs["scales"])


def inputs_digest(design: Design) -> str:
    """Fingerprint of what a model is given beside the outcome: exposure, spend, price and baseline columns."""
    arrays = [design.x, design.multiplier, design.spend, design.baseline]
    digest = hashlib.sha256()
    for array in [*arrays, *([] if design.price is None else [design.price])]:
        # Nine digits: the same numbers read from another format are the same numbers.
        digest.update("\n".join(f"{value:.9g}" for value in array.ravel()).encode())
    return digest.hexdigest()[:24]


def spec_of(data: az.InferenceData) -> ModelSpec:
    """The specification a posterior was fitted with."""
    return ModelSpec.model_validate_json(data.attrs["spec"])


def draws_of(data: az.InferenceData, media: Media, spec: ModelSpec) -> Draws:
    """The complete draws of a stored posterior, chains one after the other."""
    posterior = data.posterior

    def flat(name: str, otherwise: int | None = None) -> FloatArray:
        if name not in posterior:
            size = posterior.sizes["chain"] * posterior.sizes["draw"]
            return np.zeros((size, otherwise) if otherwise is not None else size)
        return _flat(posterior[name].to_numpy().astype(float))

    form = media.structure.values(flat("share", 0), flat("positive", 0))
    drawn = Draws(
        form=form,
        geo_effect=flat("geo_effect"),
        coefficient=np.ones_like(flat("log_effect")),
        sigma=flat("sigma"),
        week_sigma=flat("week_sigma"),
        beta=flat("beta"),
    )
    return complete(media, effect_scale(media.design, spec), drawn, flat("log_effect"))
