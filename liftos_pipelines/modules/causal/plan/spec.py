"""What a client may ask of its budget plan and its scenarios: `causal.plan` in client.yaml, typed and frozen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Money = Annotated[float, Field(ge=0)]
Multiple = Annotated[float, Field(ge=0)]
Hold = Literal["last", "mean_of_season"]
"""How a control goes on: as in the last week seen, or as in the same weeks (one either side) of the years before."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(_Frozen):
    """Least and most of a channel or a group over the plan's weeks; what is not said is not bound.

    `low` and `high` are multiples of the current spend, `least` and `most` are currency; both kinds hold together.
    """

    low: Multiple | None = None
    high: Multiple | None = None
    least: Money | None = None
    most: Money | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        for under, over in (("low", "high"), ("least", "most")):
            a, b = getattr(self, under), getattr(self, over)
            if a is not None and b is not None and a > b:
                raise ValueError(f"{under} is {a:g}, above {over}, which is {b:g}")
        return self


class Group(Bounds):
    """Channels whose spend together is bound."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)]


class Flexible(_Frozen):
    """The total is found: the largest response that still returns so much per currency.

    `roi`: over all of the spend. `mroi`: of the last currency of each channel that its bounds leave free.
    `least` and `most` bound the total.
    """

    roi: Annotated[float, Field(gt=0)] | None = None
    mroi: Annotated[float, Field(gt=0)] | None = None
    least: Money | None = None
    most: Money | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Flexible:
        if (self.roi is None) == (self.mroi is None):
            raise ValueError("give one target: roi (of all the spend) or mroi (of the last currency)")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least is {self.least:g}, above most, which is {self.most:g}")
        return self


class Steps(_Frozen):
    """Spend may move in time too: from one step of `weeks` weeks to another.

    `low` and `high` bound each channel's step, as multiples of its current spend in that step; with `shape: even`
    of its mean step, and the weeks of a step spend the same.
    """

    weeks: Annotated[int, Field(ge=1, le=52)] = 4
    low: Multiple = 0.0
    high: Multiple = 2.0
    shape: Literal["template", "even"] = "template"

    @model_validator(mode="after")
    def _in_order(self) -> Steps:
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high, which is {self.high:g}")
        return self


class Risk(_Frozen):
    """What of the response's distribution the plan maximises.

    `mean`; `quantile`, its value that a share `q` of draws falls short of; `cvar`, its mean over the worst share `q`.
    """

    measure: Literal["mean", "quantile", "cvar"] = "mean"
    q: Annotated[float, Field(gt=0, lt=1)] = 0.1


class ControlPath(_Frozen):
    """A control's (or organic channel's) future: exactly one of values a week, one value, or how it is held."""

    values: tuple[float, ...] | None = None
    value: float | None = None
    geos: dict[str, tuple[float, ...]] | None = None
    """Values a week of each geo."""
    hold: Hold | None = None

    @model_validator(mode="after")
    def _one_way(self) -> ControlPath:
        said = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"give one of values, value, geos, hold; {', '.join(said) or 'none'} given")
        return self


class Scenario(_Frozen):
    """Weeks after the last one of the data: what is spent, and what else will be the case.

    `spend` per channel is currency a week (one number, or one a week) for all geos together, or `scale` times the
    current plan; a channel that is not named keeps the current plan. Every control needs a future of its own.
    """

    weeks: Annotated[int, Field(ge=1, le=104)]
    spend: dict[str, float | tuple[float, ...]] = {}
    scale: dict[str, Multiple] = {}
    controls: dict[str, ControlPath] = {}
    organic: dict[str, ControlPath] = {}
    price: Annotated[float, Field(gt=0)] | None = None
    """Revenue per outcome; by default that of the last year."""

    @model_validator(mode="after")
    def _spends(self) -> Scenario:
        both = sorted(set(self.spend) & set(self.scale))
        if both:
            raise ValueError(f"{', '.join(both)}: stands in spend and in scale; keep one")
        for name, said in self.spend.items():
            values = said if isinstance(said, tuple) else (said,)
            if any(not 0 <= value < float("inf") for value in values):
                raise ValueError(f"spend of {name} has a value that is not a number of 0 or more")
            if isinstance(said, tuple) and len(said) != self.weeks:
                raise ValueError(f"spend of {name} has {len(said)} values for {self.weeks} weeks")
        return self


class PlanSpec(_Frozen):
    """The budget plan's choices; without any, the current total is spread anew within `causal.plan_band`."""

    weeks: Annotated[int, Field(ge=4, le=260)] | None = None
    """Newest weeks that the plan redoes; by default `causal.plan_weeks`."""
    band: Annotated[float, Field(gt=0)] | None = None
    """Largest relative change of a channel that has no bounds of its own; by default `causal.plan_band`."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """Total over the plan's weeks; by default what those weeks spent. Not with `flexible`."""
    flexible: Flexible | None = None
    channels: dict[str, Bounds] = {}
    groups: dict[str, Group] = {}
    steps: Steps | None = None
    risk: Risk = Risk()
    allow_beyond_observed: bool = False
    """A channel's mean week (of a step) may exceed its highest observed week; such rows are flagged."""
    starts: Annotated[int, Field(ge=1, le=64)] = 8
    scenarios: dict[str, Scenario] = {}

    @model_validator(mode="after")
    def _one_total(self) -> PlanSpec:
        if self.budget is not None and self.flexible is not None:
            raise ValueError("budget and flexible contradict each other: the total is either given or found")
        return self
