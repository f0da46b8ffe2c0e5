"""Which calls belong to a comparison: one arm beside the control, as far as both ran."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from liftos_pipelines.modules.llm.experiments.adaptive import is_adaptive
from liftos_pipelines.modules.llm.experiments.measured import CALL_UNIT, UNIT
from liftos_pipelines.modules.llm.experiments.plan import Plan, arms_of
from liftos_pipelines.tables import TIME

SURELY_OVER = 1e-6
"""Chance below which a run of calls without an arm means that the arm was switched off."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One arm beside the control, as far as both ran.

    Attributes
    ----------
    calls : of both arms in order, `_arm` 0 or 1; `past` those before the experiment
    adaptive : whether the shares moved; then `everything` (all arms) is what is weighted
    notes : what was left out, in words
    """

    plan: Plan
    control: str
    other: str
    arms: list[str]
    calls: pl.DataFrame
    everything: pl.DataFrame
    past: pl.DataFrame
    adaptive: bool
    notes: tuple[str, ...]

    @property
    def crossed_units(self) -> int:
        """Units with calls in both arms: by design where each call was randomised, else a leak."""
        named = self.calls.drop_nulls("unit_id").group_by(UNIT).agg(pl.col("_arm").n_unique().alias("arms"))
        return named.filter(pl.col("arms") > 1).height

    @property
    def positions(self) -> tuple[int, int]:
        return (self.arms.index(self.control), self.arms.index(self.other))


def pairs(frame: pl.DataFrame, plan: Plan) -> list[Pair]:
    """Each arm of a plan beside the control, with what belongs to the comparison.

    Parameters
    ----------
    frame : of `with_metrics`
    """
    about = frame.filter(pl.col("prompt_name") == plan.prompt)
    inside = about if plan.start is None else about.filter(pl.col("called_at") >= plan.start)
    arms = arms_of(plan, inside)
    if len(arms) < 2:
        return []
    strangers = inside.filter(~pl.col(plan.by).is_in(arms)).drop_nulls(plan.by)
    known = inside.filter(pl.col(plan.by).is_in(arms))
    notes: list[str] = []
    if strangers.height:
        names = ", ".join(strangers[plan.by].unique().sort().to_list())
        notes.append(f"{strangers.height} calls of arms that were not planned are left out ({names})")
    adaptive = is_adaptive(known, plan.by)
    wrong = known.filter(pl.col("propensity").is_not_null() & pl.col("_propensity").is_null()).height
    if wrong:
        notes.append(f"{wrong} calls with a propensity outside (0, 1], taken as unknown")
    found = []
    for other in arms[1:]:
        pair = known.filter(pl.col(plan.by).is_in([arms[0], other]))
        while_both, said = _while_both_ran(pair, plan, arms[0], other, adaptive)
        # Before both ran there was the control alone, or no arm at all: what was seen then no variant can have touched.
        untouched = pl.col(plan.by).is_null() | (pl.col(plan.by) == arms[0])
        past = about.filter(untouched & (pl.col("called_at") < pl.lit(while_both["called_at"].min(), TIME)))
        arm = (pl.col(plan.by) == other).cast(pl.Int64).alias("_arm")
        found.append(
            Pair(
                plan=plan,
                control=arms[0],
                other=other,
                arms=arms,
                calls=while_both.with_columns(arm),
                everything=known,
                past=past,
                adaptive=adaptive,
                notes=(*notes, *said),
            )
        )
    return found


def _while_both_ran(
    pair: pl.DataFrame, plan: Plan, control: str, other: str, adaptive: bool
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Calls while both arms were in use, and what was cut off, in words."""
    if pair[plan.by].n_unique() < 2 or adaptive:
        return pair, ()
    at = pl.col("called_at")
    spans = pair.group_by(plan.by).agg(at.min().alias("first"), at.max().alias("last"))
    start, end = spans["first"].max(), spans["last"].min()
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    both = pair.filter(at.is_between(start, end))
    if plan.by == "prompt_version":
        return both, ()
    shares = plan.share_of([control, other]) or [0.5, 0.5]
    cut: list[str] = []
    kept = pair
    for edge, outside, bound in (("before", at < start, start), ("after", at > end, end)):
        alone = pair.filter(outside)
        if alone.is_empty():
            continue
        absent = other if alone[plan.by][0] == control else control
        missing = shares[1] if absent == other else shares[0]
        units = alone[CALL_UNIT].n_unique()
        if units * np.log1p(-missing) < np.log(SURELY_OVER):
            kept = kept.filter(~outside)
            cut.append(f"arm {absent} had no call {edge} {bound:%Y-%m-%d %H:%M}: compared while both ran")
    return kept, tuple(cut)
