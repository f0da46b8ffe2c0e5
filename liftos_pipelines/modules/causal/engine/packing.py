"""The fused kernel's data: one array of floats, one of integers that says where what stands (see `kernel`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.modules.causal.engine.marginal import Window
from liftos_pipelines.modules.causal.engine.prior import NOISE_SD, EffectScale
from liftos_pipelines.modules.causal.engine.structure import Structure
from liftos_pipelines.modules.causal.engine.transforms import CARRY_CODE, CURVE_CODE, FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design
from liftos_pipelines.modules.causal.inputs.lift import LiftTests
from liftos_pipelines.modules.causal.spec import ModelSpec

HEADER = 16


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A log-density's data and its unconstrained vector: `n_shares` logits, `n_positives` logs, then the rest."""

    pool: FloatArray
    layout: NDArray[np.int64]
    dimension: int
    n_shares: int
    n_positives: int
    channels: int
    geos: int
    week_shocks: bool


def pack(
    design: Design, structure: Structure, prior: EffectScale, spec: ModelSpec, seen: Window, lift: LiftTests | None
) -> Packed:
    """Lay out everything the kernel reads."""
    channels, geos, weeks = design.shape
    shocks = has_week_shocks(design, spec)
    tests = 0 if lift is None else len(lift)
    rows = lift.weight.shape[1] if lift is not None and tests else 0
    n_shares, n_positives = len(structure.shares), len(structure.positives)
    header = np.zeros(HEADER, dtype=np.int64)
    header[:11] = (
        channels,
        geos,
        weeks,
        structure.max_lag + 1,
        n_shares,
        n_positives,
        tests,
        rows,
        seen.mean.d2.size,
        seen.within.d2.size,
        int(shocks),
    )
    place = np.full((channels, 4), -1, dtype=np.int64)
    for i, parameter in enumerate(structure.parameters):
        place[parameter.channel, parameter.slot] = i
    whole = [
        header,
        np.array([CARRY_CODE[kind] for kind in structure.carry]),
        np.array([CURVE_CODE[kind] for kind in structure.curve]),
        np.array(structure.saturates_first, dtype=np.int64),
        prior.code,
        place.ravel(),
    ]
    real = [
        design.x,
        design.multiplier,
        prior.value,
        design.y,
        seen.mask,
        seen.mean.u,
        seen.mean.d2,
        seen.within.u,
        seen.within.d2,
        structure.fixed,
        prior.unit,
        prior.mu,
        prior.sd,
        *(np.array([getattr(p.shape, side) for p in structure.shares]) for side in ("a", "b")),
        *(np.array([getattr(p.shape, side) for p in structure.positives]) for side in ("a", "b")),
        np.array([NOISE_SD, spec.media_geo_sd, spec.week_sd or 1.0, seen.mean.n, seen.within.n]),
    ]
    if lift is not None and tests:
        whole += [lift.channel, lift.geo.ravel()]
        real += [lift.effect, lift.std_error, lift.weight]
        real += [lift.lags, lift.lags_without, lift.people, lift.people_without]
    return Packed(
        pool=np.concatenate([np.ravel(part) for part in real]).astype(np.float64),
        layout=np.concatenate([np.ravel(part) for part in whole]).astype(np.int64),
        dimension=n_shares + n_positives + channels + 1 + int(shocks) + (channels * (1 + geos) if geos > 1 else 0),
        n_shares=n_shares,
        n_positives=n_positives,
        channels=channels,
        geos=geos,
        week_shocks=shocks,
    )


def has_week_shocks(design: Design, spec: ModelSpec) -> bool:
    """Whether the model has noise that geos share in a week: only several geos can tell it from their own."""
    return design.shape[1] > 1 and spec.week_sd is not None


@dataclass(frozen=True, kw_only=True)
class Natural:
    """Parameters in natural units; leading axes are those of the unconstrained vectors they come from.

    `shares` (.., n_shares), `positives` (.., n_positives), `log_effect` (.., n_channels), `sigma`, `week_sigma` (..),
    `geo_spread` (.., n_channels) and `geo_effect` (.., n_channels, n_geos); 0 and 1 with one geo.
    """

    shares: FloatArray
    positives: FloatArray
    log_effect: FloatArray
    sigma: FloatArray
    week_sigma: FloatArray
    geo_spread: FloatArray
    geo_effect: FloatArray


def unpack(z: FloatArray, packed: Packed) -> Natural:
    """Parameters of unconstrained vectors (.., n_dimensions)."""
    forms = packed.n_shares + packed.n_positives
    noise = forms + packed.channels
    first = noise + 1 + int(packed.week_shocks)
    log_effect = z[..., forms:noise]
    sigma = np.exp(z[..., noise])
    if packed.geos > 1:
        geo_spread = np.exp(z[..., first : first + packed.channels])
        offset = z[..., first + packed.channels :].reshape(*z.shape[:-1], packed.channels, packed.geos)
        geo_effect = np.exp(geo_spread[..., None] * offset)
    else:
        geo_spread = np.zeros_like(log_effect)
        geo_effect = np.ones((*log_effect.shape, 1))
    return Natural(
        shares=1 / (1 + np.exp(-z[..., : packed.n_shares])),
        positives=np.exp(z[..., packed.n_shares : forms]),
        log_effect=log_effect,
        sigma=sigma,
        week_sigma=np.exp(z[..., noise + 1]) if packed.week_shocks else np.zeros_like(sigma),
        geo_spread=geo_spread,
        geo_effect=geo_effect,
    )
