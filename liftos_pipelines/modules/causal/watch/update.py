"""New weeks without a full refit: a ladder from weights to a warm refit, always from the last full fit.

The target is what a refit would sample: the model in the stored fit's frozen units on all weeks of the panel. The
stored draws were drawn from the same model on the weeks that the fit saw. Their ratio, taken from the fused
log-density, holds new weeks, restated weeks and new lift tests alike; nothing is chained from update to update.

    tier 1  Pareto-smoothed importance weights
    tier 2  draws moved by moment matching, then weights
    tier 3  a short refit that begins at the posterior's mean
    tier 4  none of these is good enough: the old draws stay and a clean refit is asked for

An effect is a return over the weeks of the fit. On more weeks the same coefficients mean another return, so each draw
is restated before it is weighed: the coefficients stay, the prior is asked about the return over all weeks.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.answers.results import MOST_DRAWS, Fitted
from liftos_pipelines.modules.causal.engine.draws import Draws, complete, log_new_weeks
from liftos_pipelines.modules.causal.engine.fit import Engine, draws_of, inputs_digest, scales_of, spec_of
from liftos_pipelines.modules.causal.engine.packing import Packed, pack, unpack
from liftos_pipelines.modules.causal.engine.prior import effect_scale
from liftos_pipelines.modules.causal.engine.reading import last_week, of_posterior, read_fitted, require_same
from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.design import Design, build_design
from liftos_pipelines.modules.causal.inputs.lift import LiftTests, prepare_lift_tests
from liftos_pipelines.modules.causal.spec import ModelSpec
from liftos_pipelines.modules.causal.watch.forecast_errors import Scan, one_step_errors, scan_for_break
from liftos_pipelines.modules.causal.watch.moment_matching import match_moments
from liftos_pipelines.modules.causal.watch.monitor import Functional, Update, functional, good_k, importance_update
from liftos_pipelines.tables import table

if TYPE_CHECKING:
    import arviz as az

TOTAL = "total media"
WARM_TUNE = 500
WARM_R_HAT = 1.01
CHUNK = 100_000
"""Numbers held at a time when contributions of many draws are summed: they stay in the cache."""
QUIET = Scan(score=None, threshold=None, p_value=None, alarm=False, start=None, direction=None)


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What new weeks made of the last full fit.

    `first` are the plain weights before anything else was tried, whichever tier was taken. `published` are the
    quantities of the tier that was taken, None on tier 4; `stale` those of the last full fit. `draws` and `weights`
    (n_draws,) are the posterior that `published` is of.
    """

    method: str
    tier: int
    first: Update
    final: Update | None
    new_weeks: int
    restated: tuple[date, ...]
    inputs_changed: bool
    new_tests: tuple[str, ...]
    fitted_until: date
    scan: Scan
    drift: bool
    published: tuple[Functional, ...] | None
    stale: tuple[Functional, ...]
    design: Design
    draws: Draws
    seconds: float
    moves: tuple[str, ...] = ()

    @property
    def worst(self) -> Functional | None:
        """The published quantity with the largest k-hat."""
        return max(self.published, key=lambda one: one.k_hat) if self.published else None

    @property
    def shift_sd(self) -> float | None:
        """Largest move of a channel's published return, in sd of the last full fit's."""
        if self.published is None:
            return None
        return max(
            abs(new.mean - old.mean) / old.sd
            for new, old in zip(self.published, self.stale, strict=True)
            if new.name != TOTAL and old.sd > 0
        )


def refresh(
    data: az.InferenceData, panel: pl.DataFrame, experiments: pl.DataFrame | None = None, *, cores: int = 2
) -> Refreshed | None:
    """Bring a stored posterior to the panel's newest week; None when there is nothing new to bring it to.

    Parameters
    ----------
    panel : with the weeks of the fit, perhaps restated, and those after it
    experiments : as given to the fit, with newer ones; None: as the fit had none

    Raises
    ------
    PanelError : the panel no longer has the fit's weeks, geos, channels or controls: only a refit can help
    """
    began = time.perf_counter()
    spec, scales, last = spec_of(data), scales_of(data), last_week(data)
    panel = of_posterior(data, panel).filter(pl.col("date") >= date.fromisoformat(data.attrs["first_week"]))
    now = build_design(panel.filter(pl.col("date") <= last), spec, scales=scales)
    require_same(data, now)
    whole = build_design(panel, spec, scales=scales)
    new = len(whole.weeks) - len(now.weeks)
    seen = _as_seen(data, now)
    restated = tuple(
        week
        for week, before, after in zip(now.weeks, seen.outcome.T, now.outcome.T, strict=True)
        if not np.allclose(before, after, rtol=1e-9)
    )
    inputs_changed = data.attrs.get("inputs", inputs_digest(now)) != inputs_digest(now)
    used = json.loads(data.attrs["experiments"])
    tests_then, tests_now = _tests(experiments, used, now, spec), _tests(experiments, None, whole, spec)
    new_tests = tuple(sorted(set(tests_now.ids) - set(used)))
    if not (new or restated or inputs_changed or new_tests):
        return None
    old, target = Engine.of(seen, spec, tests_then, cores), Engine.of(whole, spec, tests_now, cores)
    draws = draws_of(data, old.media, spec)
    kept = draws.thin(MOST_DRAWS)
    stale = published(old, kept, equal_weights(len(kept)))
    scan = scan_for_break(one_step_errors(target.media, draws, new), spec.seed) if new else QUIET
    # What the fit was given is only known by its fingerprint: where that differs, its density cannot be taken again.
    # Tests that it had and that are gone leave the density of moved draws unknown too.
    exact = "unconstrained" in data.groups() and not inputs_changed and set(used) <= set(tests_then.ids)
    if exact:
        z = data.unconstrained["z"].to_numpy().reshape(len(draws), -1)
        origin, aim = _Density(old), _Density(target)
        log_proposal = origin(z)
        moved = _restated(z, target, draws, _effects(aim.packed))
        ratio = aim(moved) - log_proposal
    else:
        ratio = log_new_weeks(target.media, draws, new) if new else np.zeros(len(draws))
    first = importance_update(ratio)
    alarm_of = first if not (restated or new_tests or inputs_changed) else None
    if alarm_of is None and new:
        alarm_of = importance_update(log_new_weeks(target.media, draws, new))
    nothing = Refreshed(
        method="refit",
        tier=4,
        first=first,
        final=None,
        new_weeks=new,
        restated=restated,
        inputs_changed=inputs_changed,
        new_tests=new_tests,
        fitted_until=last,
        scan=scan,
        drift=scan.alarm or (alarm_of is not None and alarm_of.k_hat > alarm_of.good_k),
        published=None,
        stale=stale,
        design=whole,
        draws=draws,
        seconds=0.0,
    )
    found = nothing
    if first.trusted and not inputs_changed and (exact or not restated):
        weighed = published(target, draws, first, ratio)
        if _all_trusted(weighed, first):
            found = replace(nothing, method="update", tier=1, published=weighed, final=first)
    if found.published is None and exact:
        matched = match_moments(moved, log_proposal, aim)
        if matched.moves and matched.update.trusted:
            its = _unpacked(matched.z, aim.packed, target)
            weighed = published(target, its, matched.update, matched.log_ratio)
            if _all_trusted(weighed, matched.update):
                found = replace(nothing, method="update", tier=2, published=weighed, final=matched.update)
                found = replace(found, draws=its, moves=matched.moves)
    if found.published is None and "unconstrained" in data.groups():
        known = data.unconstrained["z"].to_numpy()
        warm = _warm_refit(target, known.reshape(-1, known.shape[-1]))
        if warm is not None:
            found = replace(nothing, tier=3, published=published(target, warm, equal_weights(len(warm))), draws=warm)
    return replace(found, seconds=time.perf_counter() - began)


def held_out(data: az.InferenceData) -> tuple[Update, int] | None:
    """How well the last full fit would have stood for weeks it now has: weights of the newest back-test, as kept.

    Returns
    -------
    k-hat and effective draws (an Update without its weights), and weeks held out; None without a back-test
    """
    if "predictions" not in data.groups():
        return None
    folds = data.predictions
    draws = int(data.posterior.sizes["chain"] * data.posterior.sizes["draw"])
    update = Update(
        k_hat=float(folds["k_hat"][0]),
        ess=float(folds["ess"][0]),
        good_k=good_k(draws),
        weights=np.empty(0),
        draws=draws,
    )
    return update, int(folds.sizes["ahead"])


def as_fitted(data: az.InferenceData, panel: pl.DataFrame) -> tuple[Design, tuple[Functional, ...]]:
    """The published quantities of the last full fit, and its design."""
    fitted = read_fitted(data, panel)
    draws = fitted.draws.thin(MOST_DRAWS)
    engine = Engine.of(fitted.design, spec_of(data))
    return fitted.design, published(engine, draws, equal_weights(len(draws)))


def published(
    engine: Engine, draws: Draws, update: Update, log_ratio: FloatArray | None = None
) -> tuple[Functional, ...]:
    """Return of each channel over all weeks and geos, and of all media, under weights.

    ROI of paid channels where revenue is known; otherwise the contribution, in revenue or outcome. All media together
    are always a contribution.
    """
    ratio = np.zeros(len(draws)) if log_ratio is None else log_ratio
    design = engine.design
    fitted = Fitted(design=design, media=engine.media, draws=draws)
    worth = fitted.worth()
    size = max(1, CHUNK // worth.size)
    values = np.empty((len(draws), len(design.channels)))
    for begin in range(0, len(draws), size):
        rows = slice(begin, begin + size)
        part = draws.take(rows)
        for c in range(len(design.channels)):
            values[rows, c] = np.einsum("sgt,gt->s", fitted.gained(part, c), worth)
    out = []
    for c, channel in enumerate(design.channels):
        spend = float(design.spend[c].sum())
        divisor = spend if is_roi(design, c) else 1.0
        out.append(functional(channel, values[:, c] / divisor, update, ratio))
    return (*out, functional(TOTAL, values.sum(axis=1), update, ratio))


def is_roi(design: Design, channel: int) -> bool:
    """Whether a channel's published quantity is a return on spend."""
    return channel < design.paid and design.price is not None and float(design.spend[channel].sum()) > 0


def _all_trusted(found: tuple[Functional, ...], update: Update) -> bool:
    return all(one.trusted(update.good_k) for one in found)


def equal_weights(draws: int) -> Update:
    """Draws of the posterior itself."""
    weights = np.full(draws, 1 / draws)
    return Update(k_hat=float("-inf"), ess=float(draws), good_k=good_k(draws), weights=weights, draws=draws)


def _as_seen(data: az.InferenceData, now: Design) -> Design:
    """The design with the outcomes that the fit saw; as it is now where they were not kept."""
    if "outcome" not in data.constant_data:
        return now
    outcome = data.constant_data["outcome"].to_numpy()
    per_head = outcome / now.scales.size[:, None]
    level = np.log(per_head) if now.log else per_head
    y = (level - now.scales.centre[:, None]) / now.scales.spread
    return replace(now, outcome=outcome, y=y)


def _tests(experiments: pl.DataFrame | None, used: list[str] | None, design: Design, spec: ModelSpec) -> LiftTests:
    given = table("sources/experiments").empty() if experiments is None else experiments
    if used is not None:
        given = given.filter(pl.col("experiment_id").cast(pl.String).is_in(used))
    return prepare_lift_tests(given, design, spec.max_lag, spec.lift_carry_out_weeks)


class _Density:
    """Log-density of unconstrained draws under an engine's model on all its weeks."""

    def __init__(self, engine: Engine) -> None:
        prior = effect_scale(engine.design, engine.spec)
        self.packed: Packed = pack(engine.design, engine.structure, prior, engine.spec, engine.window(), engine.lift)

    def __call__(self, z: FloatArray) -> FloatArray:
        from liftos_pipelines.modules.causal.engine.kernel import logp_grad

        pool, layout = self.packed.pool, self.packed.layout
        slope = np.empty(z.shape[1])
        out = np.array([logp_grad(row, slope, pool, layout) for row in np.ascontiguousarray(z)])
        return np.where(np.isfinite(out), out, -np.inf)


def _effects(packed: Packed) -> slice:
    begin = packed.n_shares + packed.n_positives
    return slice(begin, begin + packed.channels)


def _restated(z: FloatArray, target: Engine, draws: Draws, effects: slice) -> FloatArray:
    """Draws with effects told over the target's weeks: the same coefficients, a shift by a function of the forms, so
    that the density needs no further factor."""
    prior = effect_scale(target.design, target.spec)
    out = z.copy()
    size = max(1, CHUNK // target.design.outcome.size)
    for begin in range(0, len(draws), size):
        rows = slice(begin, begin + size)
        part = draws.take(rows)
        # Coefficients of effects of 1; those of the draws over them are the effects.
        unit = complete(target.media, prior, part, np.zeros_like(part.coefficient)).coefficient
        out[rows, effects] = np.log(part.coefficient) - np.log(unit)
    return out


def _unpacked(z: FloatArray, packed: Packed, engine: Engine) -> Draws:
    """Draws in natural units of unconstrained vectors (n_draws, n_dimensions), with their coefficients."""
    natural = unpack(z, packed)
    drawn = Draws(
        form=engine.structure.values(natural.shares, natural.positives),
        geo_effect=natural.geo_effect,
        coefficient=np.ones_like(natural.log_effect),
        sigma=natural.sigma,
        week_sigma=natural.week_sigma,
    )
    return complete(engine.media, effect_scale(engine.design, engine.spec), drawn, natural.log_effect)


def _warm_refit(engine: Engine, near: FloatArray) -> Draws | None:
    """Draws of the target itself with a short adaptation; None when they are not good enough."""
    import arviz as az

    seen, spec = engine.window(), engine.spec
    try:
        sampled = engine.sample(seen, seed=spec.seed + 1, near=near, tune=min(WARM_TUNE, spec.tune))
    except (ValueError, RuntimeError):
        return None
    z = sampled.unconstrained
    assert z is not None
    columns = [z[:, :, i] for i in range(z.shape[-1])]
    r_hat = max(float(az.rhat(column)) for column in columns)
    ess = min(float(az.ess(column)) for column in columns)
    # NaN is not good enough.
    if not (r_hat <= WARM_R_HAT and ess >= 400 and not sampled.diverging.any()):
        return None
    return engine.complete(sampled, seen, spec.seed + 1)
