"""Priors on the question: what a channel returns, from which its coefficient follows.

Source: Zhang et al. (2024), Media mix model calibration with Bayesian priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.spec import ModelSpec, SpecError

TOTAL, MARGIN, PLAIN = 0, 1, 2
"""The coefficient follows from the total effect, from that of one more per cent, or is itself the effect."""
NOISE_SD = 2.0
"""Half-normal scale of the noise, in units of the outcome's spread."""


@dataclass(frozen=True, kw_only=True)
class EffectScale:
    """Prior of a channel's effect: unit x LogNormal(mu, sd) = coefficient x sum of `value` x saturated exposure.

    `unit` (n_channels,): spend for an ROI, the total outcome for a share, 1 for a coefficient; `value` (n_channels,
    n_geos, n_weeks): what one unit of y is worth, in the same money or outcome; `code` (n_channels,): see above.
    """

    unit: FloatArray
    mu: FloatArray
    sd: FloatArray
    value: FloatArray
    code: NDArray[np.int64]


def effect_scale(design: Design, spec: ModelSpec) -> EffectScale:
    """Priors of all channels: each channel's own, else ROI where revenue is known, else a share of the outcome.

    Raises
    ------
    SpecError : a prior of a channel that is not paid or not there, or on ROI where revenue is unknown
    """
    channels, geos, weeks = design.shape
    strange = sorted(set(spec.roi_priors) - set(design.channels[: design.paid]))
    if strange:
        raise SpecError(
            f"causal.roi_priors names {', '.join(strange)}, not among the paid channels of the model: "
            f"{', '.join(design.channels[: design.paid])}"
        )
    heads = np.broadcast_to(design.unit, (geos, weeks))
    total, spend = float(design.outcome.sum()), design.spend.sum(axis=(1, 2))
    unit, mu, sd, value = np.empty(channels), np.empty(channels), np.empty(channels), np.empty((channels, geos, weeks))
    code = np.zeros(channels, dtype=np.int64)
    for c, name in enumerate(design.channels):
        own = spec.channels[name].prior if name in spec.channels else None
        paid = c < design.paid
        value[c] = heads
        if own is not None and own.of in ("roi", "mroi"):
            if not paid or design.price is None:
                why = "it has no spend" if not paid else "revenue is unknown: map revenue_per_outcome"
                raise SpecError(f"causal.channels.{name}.prior is of {own.of}, but {why}; state it of contribution")
            unit[c], mu[c], sd[c], value[c] = spend[c], np.log(own.median), own.sigma, heads * design.price
            # With reach and frequency, one per cent more spend is one per cent more people: the two returns are one.
            code[c] = MARGIN if own.of == "mroi" and not design.frequency[c] else TOTAL
        elif own is not None and own.of == "contribution":
            unit[c], mu[c], sd[c] = total, np.log(own.median), own.sigma
        elif own is not None:
            unit[c], mu[c], sd[c], code[c] = 1.0, np.log(own.median), own.sigma, PLAIN
        elif paid and design.price is not None:
            prior = spec.roi_priors.get(name, spec.roi_prior)
            unit[c], mu[c], sd[c], value[c] = spend[c], np.log(prior.median), prior.sigma, heads * design.price
        elif paid:
            unit[c], mu[c], sd[c] = total * spend[c] / spend.sum(), np.log(spec.media_share), spec.share_sigma
        else:
            unit[c], mu[c], sd[c] = total, np.log(spec.organic_share), spec.share_sigma
    return EffectScale(unit=unit, mu=mu, sd=sd, value=value, code=code)
