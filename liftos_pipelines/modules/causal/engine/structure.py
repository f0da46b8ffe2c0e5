"""Which form each channel takes, and the parameters that follow from it, resolved from the specification."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import CARRY, CURVE, Carry, Curve, FloatArray, Shape
from liftos_pipelines.modules.causal.spec import ModelSpec, SpecError


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A form parameter of one channel; `slot` 0 and 1 belong to its carry-over, 2 and 3 to its curve."""

    channel: int
    slot: int
    label: str
    shape: Shape


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The forms of all channels, in the design's order.

    `fixed` (n_channels, 4): values of slots that are not estimated. `saturates_first` (n_channels,): curve before
    carry-over. The sampled vector begins with `shares`, then `positives`.
    """

    channels: tuple[str, ...]
    carry: tuple[Carry, ...]
    curve: tuple[Curve, ...]
    saturates_first: tuple[bool, ...]
    fixed: FloatArray
    shares: tuple[Parameter, ...]
    positives: tuple[Parameter, ...]
    max_lag: int

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*self.shares, *self.positives)

    def values(self, shares: FloatArray, positives: FloatArray) -> FloatArray:
        """(n_draws, n_channels, 4) from (n_draws, n_shares) and (n_draws, n_positives), in natural units."""
        out = np.broadcast_to(self.fixed, (len(shares), *self.fixed.shape)).copy()
        for group, drawn in ((self.shares, shares), (self.positives, positives)):
            for i, parameter in enumerate(group):
                out[:, parameter.channel, parameter.slot] = drawn[:, i]
        return out


def resolve(spec: ModelSpec, channels: Sequence[str], frequency: Sequence[bool]) -> Structure:
    """The structure of a model.

    Parameters
    ----------
    channels : names, paid first; frequency : whether a channel is given as reach and frequency

    Raises
    ------
    SpecError : `causal.channels` names a channel that is not there, or a prior its form cannot carry
    """
    strange = sorted(set(spec.channels) - set(channels))
    if strange:
        close = difflib.get_close_matches(strange[0], channels, n=1)
        hint = f' (closest: "{close[0]}")' if close else ""
        raise SpecError(
            f"causal.channels names {', '.join(strange)}{hint}, not among the channels of the model: "
            f"{', '.join(channels)}"
        )
    carry: list[Carry] = []
    curve: list[Curve] = []
    first: list[bool] = []
    fixed = np.ones((len(channels), 4))
    found: dict[Literal["share", "positive"], list[Parameter]] = {"share": [], "positive": []}
    for c, name in enumerate(channels):
        own = spec.channels.get(name)
        carry.append(own.adstock if own and own.adstock else spec.adstock)
        curve.append(own.saturation if own and own.saturation else spec.saturation)
        order = own.order if own and own.order else spec.order
        first.append(bool(frequency[c]) or order == "saturation_first")
        slope = own.slope if own and own.slope is not None else spec.slope
        if own and own.prior and own.prior.of == "mroi" and first[c] and not frequency[c]:
            raise SpecError(
                f"causal.channels.{name}.prior: a prior of mroi needs order: adstock_first; state it of roi"
            )
        for start, shapes in ((0, CARRY[carry[c]]), (2, CURVE[curve[c]])):
            for k, shape in enumerate(shapes):
                if shape.name == "slope" and slope != "free":
                    fixed[c, start + k] = float(slope)
                    continue
                label = f"{name} {shape.name}"
                found[shape.support].append(Parameter(channel=c, slot=start + k, label=label, shape=shape))
    return Structure(
        channels=tuple(channels),
        carry=tuple(carry),
        curve=tuple(curve),
        saturates_first=tuple(first),
        fixed=fixed,
        shares=tuple(found["share"]),
        positives=tuple(found["positive"]),
        max_lag=spec.max_lag,
    )
