"""What a client may say about its model: `causal` in client.yaml, typed and frozen."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from liftos_pipelines.modules.causal.checks.gate import AtMost, Gate
from liftos_pipelines.modules.causal.engine.transforms import Carry, Curve
from liftos_pipelines.modules.causal.plan.spec import PlanSpec


class SpecError(ValueError):
    """The client's `causal` section breaks the contract; the message names the field and the fix."""


class Prior(BaseModel):
    """A LogNormal prior: `median` is exp of the mean of the logarithm, `sigma` its standard deviation."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    median: Annotated[float, Field(gt=0)]
    sigma: Annotated[float, Field(gt=0, le=5)]


# exp(0.2): the LogNormal(0.2, 0.9) that Google's Meridian (2024) publishes as its default prior of ROI.
ROI_PRIOR = Prior(median=1.2214, sigma=0.9)


PriorOf = Literal["roi", "mroi", "contribution", "coefficient"]
"""What a channel's prior is about: revenue per currency, that of the next currency, the share of the outcome that all
weeks owe to it, or the coefficient of its saturated exposure in units of the outcome's spread."""


class EffectPrior(Prior):
    """A LogNormal prior and the quantity it is of."""

    of: PriorOf = "roi"


class ChannelSpec(BaseModel):
    """One channel's own form; what is not said is the model's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    adstock: Carry | None = None
    saturation: Curve | None = None
    slope: Literal["free"] | Annotated[float, Field(gt=0, le=5)] | None = None
    """Of a Hill curve: a number, or `free` to estimate it."""
    order: Literal["adstock_first", "saturation_first"] | None = None
    """Reach and frequency always saturate first: frequency within a week, then carry-over of the people reached."""
    prior: EffectPrior | None = None


Role = Literal["confounder", "mediator", "noise", "treatment"]
"""What a control is: it moves media and outcome (confounder), is moved by media (mediator: left out), moves the outcome
only (noise), or is itself a decision whose effect is asked for, such as a price (treatment)."""
Feature = Literal["sentiment_index", "ai_visibility"]
"""What other modules measure and the model may take as a control."""
COUNTRY = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"


class Event(BaseModel):
    """Something that took place between two dates, both included; events of one name share one term."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Annotated[str, Field(min_length=1)]
    start: date
    end: date
    geos: tuple[str, ...] = ()
    """Geos it took place in; empty for all."""

    @model_validator(mode="after")
    def _in_order(self) -> Event:
        if self.end < self.start:
            raise ValueError(f"event {self.name} ends on {self.end}, before its start on {self.start}")
        return self


class ModelSpec(BaseModel):
    """The marketing-mix model's choices; every field has a default that suits two to three years of weeks.

    Standard deviations of baseline terms are in units of the outcome's robust within-geo spread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chains: Annotated[int, Field(ge=2, le=16)] = 4
    draws: Annotated[int, Field(ge=100, le=20_000)] = 500
    tune: Annotated[int, Field(ge=100, le=20_000)] = 500
    seed: Annotated[int, Field(ge=0)] = 20240101
    max_lag: Annotated[int, Field(ge=0, le=26)] = 8
    """Oldest week whose exposure still counts; the present week is lag 0."""
    form: Literal["additive", "multiplicative"] = "additive"
    """Multiplicative: the logarithm of the outcome is modelled, so effects are percentages of what there is."""
    adstock: Carry = "geometric"
    saturation: Curve = "hill"
    slope: Literal["free"] | Annotated[float, Field(gt=0, le=5)] = 1.0
    """Of Hill curves; `free` is estimated and lets the curve be S-shaped."""
    order: Literal["adstock_first", "saturation_first"] = "adstock_first"
    channels: dict[str, ChannelSpec] = {}
    """Forms and priors of single channels, paid or organic, by name."""
    sampler: Literal["auto", "fused", "pymc"] = "auto"
    """`fused`: the compiled log-density; `pymc`: the PyMC graph through nutpie, minutes slower; `auto`: the first."""
    target_accept: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    week_sd: Annotated[float, Field(gt=0)] | None = 0.5
    """Scale of the half-normal prior of shocks that all geos share in a week, in units of the outcome's spread; null:
    geos are independent. National data have one noise only."""
    knot_weeks: Annotated[int, Field(ge=4, le=260)] = 26
    """Weeks between knots of the linear-spline trend."""
    trend: Literal["knots", "gp", "linear", "none"] = "knots"
    """A linear spline, a Gaussian process, one slope, or nothing but the level."""
    knots: Annotated[int, Field(ge=1, le=520)] | None = None
    """How many knots, spread evenly over the weeks of the fit; in place of knot_weeks."""
    independent_knots: bool = False
    """Each knot's value has its own Normal(0, baseline_sd) prior and none follows from the one before; the knots carry
    the level. With `knots` this is the baseline of Google's Meridian."""
    gp_lengthscale_weeks: Annotated[float, Field(ge=4, le=260)] = 26.0
    """Over how many weeks the Gaussian process keeps its direction (squared-exponential length scale)."""
    trend_sd: Annotated[float, Field(gt=0)] = 1.0
    """Prior sd of the trend: of its step from one knot to the next, of a straight line's change over knot_weeks, or of
    the Gaussian process at any week."""
    seasonality: Annotated[int, Field(ge=0, le=10)] = 3
    """Yearly Fourier pairs; 0 for none."""
    level_sd: Annotated[float, Field(gt=0)] | None = None
    """Prior sd of a geo's baseline level about the outcome's median; by default that median itself."""
    shock_z: Annotated[float, Field(ge=3)] | None = 4.0
    """Weeks that leave a rough fit by more robust standard deviations get a term of their own; null: none."""
    baseline_sd: Annotated[float, Field(gt=0)] = 5.0
    """Prior sd of Fourier and standardised control coefficients, of holidays and of whole weeks of an event."""
    noise_sd: Annotated[float, Field(gt=0)] = 1.0
    """Prior sd of standardised controls whose role is noise: tighter, because nothing is lost by missing them."""
    geo_sd: Annotated[float, Field(gt=0)] = 0.5
    """Prior sd of a geo's own deviation in slope, first harmonic and controls."""
    media_geo_sd: Annotated[float, Field(gt=0, le=2)] = 0.3
    """Scale of the half-normal prior of the spread of log media effects between geos."""
    roi_prior: Prior = ROI_PRIOR
    roi_priors: dict[str, Prior] = {}
    """ROI priors of single channels, by name: short for `channels.<name>.prior`."""
    media_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Prior median of all paid media's share of the outcome; used where revenue is unknown."""
    share_sigma: Annotated[float, Field(gt=0, le=5)] = 1.0
    organic_share: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """Prior median of one organic channel's share of the outcome."""
    mediators: tuple[str, ...] = ()
    """Controls that media themselves move (awareness, site visits): left out, or they would hide the effect.
    Short for the role `mediator`."""
    roles: dict[str, Role] = {}
    """Causal roles of controls, by name; a control that is not named is a confounder."""
    treatment_reference: Literal["min", "median", "zero"] = "median"
    """Value of a treatment that its contribution is counted from."""
    features: dict[Feature, Literal["confounder", "mediator", "noise"]] = {}
    """Measures of other modules that enter as controls, with their role; none unless named."""
    holidays: tuple[Annotated[str, Field(pattern=COUNTRY)], ...] = ()
    """Countries (ISO 3166 codes such as DE, or DE-BY for a part) whose public holidays move the outcome."""
    holidays_each: bool = False
    """One term a holiday that falls in at least two years, in place of one term a country."""
    holiday_geos: dict[str, tuple[str, ...]] = {}
    """Geos that a country's holidays hold for; a country that is not named holds for all."""
    events: tuple[Event, ...] = ()
    lift_carry_out_weeks: Annotated[int, Field(ge=0, le=26)] = 0
    """Weeks after a lift test's end whose outcome its `incremental_outcome` still counts."""
    holdout_weeks: Annotated[int, Field(ge=0, le=52)] | None = None
    """Weeks that each back-test predicts unseen; by default a tenth of the weeks, 4 to 13. 0: no back-test."""
    folds: Annotated[int, Field(ge=0, le=12)] = 3
    """Expanding-window back-tests, each of `holdout_weeks`."""
    plan_weeks: Annotated[int, Field(ge=4, le=260)] = 52
    """Newest weeks whose flighting and total spend the budget plan redistributes."""
    plan_band: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Largest relative change of a channel's budget."""
    gate: Gate = Gate()
    """From where on each check of `causal/validation` warns, and from where on it keeps a model from being served."""
    plan: PlanSpec = PlanSpec()
    """All else that a budget plan can be asked for, and scenarios."""

    def role(self, control: str) -> Role:
        """Causal role of a control or feature."""
        features = {str(name): role for name, role in self.features.items()}
        return self.roles.get(control) or features.get(control, "confounder")

    @model_validator(mode="before")
    @classmethod
    def _one_list_of_mediators(cls, values: Any) -> Any:
        """`mediators` names all that have this role, whichever way it was said."""
        roles, said = (values.get("roles"), values.get("mediators", ())) if isinstance(values, dict) else (None, ())
        if not isinstance(roles, Mapping) or not isinstance(said, (list, tuple)):
            return values
        other = sorted(str(name) for name in said if roles.get(name, "mediator") != "mediator")
        if other:
            raise ValueError(
                f"{other[0]} stands in mediators and has the role {roles[other[0]]} in roles; a control has one role"
            )
        named = [name for name, role in roles.items() if role == "mediator"]
        return dict(values) | {"mediators": tuple(dict.fromkeys([*said, *named]))}

    @model_validator(mode="after")
    def _baseline_fits_together(self) -> ModelSpec:
        if (self.independent_knots or self.knots is not None) and self.trend != "knots":
            raise ValueError(f"knots and independent_knots are of trend knots; the trend is {self.trend}")
        strange = sorted(set(self.holiday_geos) - set(self.holidays))
        if strange:
            raise ValueError(f"holiday_geos names {', '.join(strange)}, which is not in holidays")
        for name, role in self.features.items():
            if name in self.mediators or self.roles.get(name, role) != role:
                raise ValueError(f"{name} stands in features and in roles or mediators; give its role in features")
        return self

    @model_validator(mode="after")
    def _room(self) -> ModelSpec:
        if self.chains * self.draws < 400:
            raise ValueError("chains x draws is below 400: effective sample sizes of 400 cannot be reached")
        twice = sorted(set(self.roi_priors) & {name for name, own in self.channels.items() if own.prior})
        if twice:
            raise ValueError(f"{', '.join(twice)}: a prior stands both in roi_priors and in channels; keep one")
        return self

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str = "client.yaml") -> ModelSpec:
        """Validate the `causal` section.

        Raises
        ------
        SpecError : one line a problem, naming file and field
        """
        try:
            return cls(**{str(key): value for key, value in config.items()})
        except ValidationError as error:
            lines = []
            for problem in error.errors():
                field = ".".join(("causal", *(str(part) for part in problem["loc"])))
                if problem["type"] == "extra_forbidden":
                    nested: dict[str, type[BaseModel]] = {"events": Event, "channels": ChannelSpec, "plan": PlanSpec}
                    nested["gate"] = Gate if len(problem["loc"]) == 2 else AtMost
                    inside = nested.get(str(problem["loc"][0]), Prior) if len(problem["loc"]) > 1 else cls
                    allowed = list(inside.model_fields)
                    close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
                    hint = f' (closest: "{close[0]}")' if close else ""
                    lines.append(f"{where}: {field}: this field is not known{hint}. Allowed: {', '.join(allowed)}")
                else:
                    message = problem["msg"].removeprefix("Value error, ")
                    lines.append(f"{where}: {field}: {message} (found {problem['input']!r})")
            raise SpecError("\n".join(lines)) from error
