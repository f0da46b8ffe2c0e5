"""Which model serves: a fit that no check keeps back, else the last such one, as long as an operator agrees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from liftos_pipelines.modules.causal.engine.fit import scales_of, spec_of
from liftos_pipelines.modules.causal.inputs.design import Design, Scales

if TYPE_CHECKING:
    import arviz as az

NONE_PASSED = "unknown: no model has passed the publish gate"
FACTOR = 1.5
"""Units that have changed by more than this are not carried over: priors are stated in them."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`serve` the candidate, the champion as it is, or nothing; `promote`: the alias moves to the candidate."""

    serve: Literal["candidate", "champion", "nothing"]
    promote: bool
    why: str


def choose(
    *,
    candidate: int | None,
    judged: int | None,
    failed: Sequence[str],
    promoted_before: bool,
    champion: int | None,
    held: bool,
) -> Verdict:
    """What to serve.

    Parameters
    ----------
    candidate : version of the newest fit; None when it is not in the registry
    judged : version that `failed` is about
    failed : names of checks that keep it back
    promoted_before : the candidate has been the champion: if the alias now stands elsewhere, a person moved it
    champion : version that the alias names; None without one
    held : a person has asked to keep the champion
    """
    stays: Literal["champion", "nothing"] = "nothing" if champion is None else "champion"
    if candidate is None:
        return Verdict(serve=stays, promote=False, why="the newest fit is not in the model registry: refit")
    if judged != candidate:
        why = f"version {candidate} has not been checked: run causal/validation with it"
        return Verdict(serve=stays, promote=False, why=why)
    if failed:
        return Verdict(serve=stays, promote=False, why=f"version {candidate} failed {', '.join(failed)}")
    if candidate == champion:
        return Verdict(serve="candidate", promote=False, why=f"version {candidate} passed the publish gate")
    if promoted_before:
        moved = f"to version {champion}" if champion is not None else "away"
        return Verdict(serve=stays, promote=False, why=f"the alias was moved {moved} by hand, from version {candidate}")
    if held and champion is not None:
        why = f"version {champion} is held by hand; version {candidate} passed the publish gate and waits"
        return Verdict(serve="champion", promote=False, why=why)
    return Verdict(serve="candidate", promote=True, why=f"version {candidate} passed the publish gate")


def reference_of(served: az.InferenceData) -> str:
    """What a refit is compared with: the served model's effects, as JSON."""
    effect = served.posterior["log_effect"]
    moments = {
        str(name): {"mean": float(effect.sel(channel=name).mean()), "sd": float(effect.sel(channel=name).std())}
        for name in effect["channel"].to_numpy()
    }
    version = served.attrs.get("version")
    return json.dumps({"version": None if version is None else int(version), "log_effect": moments})


def comparable_scales(design: Design, served: az.InferenceData, form: str) -> tuple[Scales | None, str]:
    """The served model's frozen units for a refit, so that its parameters mean the same; or None, and why not.

    Trend knots, incidents and the number of weeks are the refit's own. Chains still begin at the prior: a refit that
    began at the served posterior could not find out that its chains do not agree.

    Parameters
    ----------
    design : the refit's, in units of its own
    """
    stored = {name: tuple(json.loads(served.attrs[name])) for name in ("geos", "channels", "controls")}
    for what, before in stored.items():
        if before != getattr(design, what):
            return None, f"{what} are no longer those of the served model"
    if served.attrs["first_week"] != design.weeks[0].isoformat():
        return None, f"the panel no longer begins on {served.attrs['first_week']}"
    if spec_of(served).form != form:
        return None, "the served model has another form"
    units, own = scales_of(served), design.scales
    for name in ("size", "spread", "media", "reach"):
        ratio = np.asarray(getattr(own, name)) / np.asarray(getattr(units, name))
        if not np.all((ratio < FACTOR) & (ratio > 1 / FACTOR)):
            return None, f"{name} differs from the served model's by a factor of more than {FACTOR:g}"
    kept = {term.name: term for term in units.terms or ()}
    terms = None
    if own.terms is not None:
        terms = tuple(
            kept[term.name] if term.name in kept and _alike(kept[term.name].spread, term.spread) else term
            for term in own.terms
        )
    return replace(units, knots=own.knots, shocks=own.shocks, weeks=own.weeks, terms=terms), ""


def _alike(before: float, now: float) -> bool:
    return before > 0 and now > 0 and 1 / FACTOR < now / before < FACTOR
