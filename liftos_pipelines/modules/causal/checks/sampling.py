"""Whether the draws stand for the posterior: convergence, effective sizes, divergences, energy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from liftos_pipelines.modules.causal.checks.check import Check, judged, unknown
from liftos_pipelines.modules.causal.checks.gate import Gate

if TYPE_CHECKING:
    import arviz as az

SAMPLED = ("share", "positive", "log_effect", "sigma", "week_sigma", "geo_spread", "geo_effect")


def sampling_checks(data: az.InferenceData, gate: Gate | None = None) -> list[Check]:
    """R-hat, effective sample sizes, divergences and energy of the full fit, after its last remedy."""
    import arviz as az

    gate = gate or Gate()
    # With one geo its effect is 1 by definition: there is nothing to converge.
    fixed = {"geo_effect"} if "geo_spread" not in data.posterior else set()
    names = [name for name in SAMPLED if name in data.posterior and name not in fixed]
    posterior = data.posterior[names].load()
    draws = int(posterior.sizes["chain"] * posterior.sizes["draw"])
    r_hat, worst = _extreme(az.rhat(posterior), np.max)
    bulk, least_bulk = _extreme(az.ess(posterior, method="bulk"), np.min)
    tail, least_tail = _extreme(az.ess(posterior, method="tail"), np.min)
    diverging = int(data.sample_stats["diverging"].sum())
    checks = [
        judged("r_hat", r_hat, gate, f"largest: {worst}", n=draws),
        judged("ess_bulk", bulk, gate, f"smallest: {least_bulk}", n=draws),
        judged("ess_tail", tail, gate, f"smallest: {least_tail}", n=draws),
        judged("divergences", diverging / draws, gate, f"share: {diverging} of {draws} draws{_tried(data)}", n=draws),
    ]
    if "energy" in data.sample_stats:
        checks.append(judged("bfmi", float(np.min(az.bfmi(data))), gate, "smallest chain", n=draws))
    else:
        checks.append(unknown("bfmi", gate, "the sampler did not record its energy"))
    return checks


def remedies(data: az.InferenceData) -> list[str]:
    """Each attempt at sampling in words, the first one first; the last is what is stored."""
    attempts = json.loads(data.attrs.get("attempts", "[]"))
    return [
        f"acceptance {a['target_accept']:g}: {a['divergences']:.0f} divergences, R-hat {a['r_hat']:.3f}, "
        f"ESS {a['ess']:.0f}, {a['seconds']:.1f} s"
        for a in attempts
    ]


def _tried(data: az.InferenceData) -> str:
    count = len(remedies(data))
    return f", after {count - 1} more attempt(s)" if count > 1 else ""


def _extreme(values: Any, choose: Any) -> tuple[float, str]:
    """The extreme value of a data set of statistics and the parameter it belongs to.

    A chain that stands still has no R-hat: NaN is the worst there is, and no threshold passes it.
    """
    found = {str(name): float(choose(values[name].to_numpy())) for name in values.data_vars if values[name].size}
    stuck = [name for name, value in found.items() if np.isnan(value)]
    if stuck:
        return float("nan"), f"{stuck[0]} (a chain stands still)"
    best = float(choose(list(found.values())))
    return best, next(name for name, value in found.items() if value == best)
