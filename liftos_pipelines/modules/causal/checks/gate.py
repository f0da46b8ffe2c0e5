"""Thresholds of the publish gate: for each check, from where on it warns and from where on it fails.

A model with a failed check is stored and marked, but not served. `causal.gate` in client.yaml changes single levels:
`gate: {r_hat: {fail: 1.02}, interval_coverage: {fail: null}}`; null means never.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Status = Literal["pass", "warn", "fail", "unknown"]


class AtMost(BaseModel):
    """Larger is worse. A value that is no number is the worst there is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    warn: float | None = None
    fail: float | None = None

    def status(self, value: float) -> Status:
        """The verdict on a value; a level itself still passes."""
        if self.fail is not None and not value <= self.fail:
            return "fail"
        return "warn" if self.warn is not None and not value <= self.warn else "pass"

    @model_validator(mode="after")
    def _in_order(self) -> AtMost:
        if self.warn is not None and self.fail is not None and self.warn > self.fail:
            raise ValueError(f"warn is {self.warn:g}, beyond fail at {self.fail:g}: a check warns before it fails")
        return self


class AtLeast(BaseModel):
    """Smaller is worse. A value that is no number is the worst there is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    warn: float | None = None
    fail: float | None = None

    def status(self, value: float) -> Status:
        """The verdict on a value; a level itself still passes."""
        if self.fail is not None and not value >= self.fail:
            return "fail"
        return "warn" if self.warn is not None and not value >= self.warn else "pass"

    @model_validator(mode="after")
    def _in_order(self) -> AtLeast:
        if self.warn is not None and self.fail is not None and self.warn < self.fail:
            raise ValueError(f"warn is {self.warn:g}, below fail at {self.fail:g}: a check warns before it fails")
        return self


P_VALUE = AtLeast(warn=0.02)
"""With some ten checks of assumptions, a sound model is warned of about once in five or ten fits."""
ASSUMPTION = AtLeast(warn=0.01)
"""Of each test of what identifies effects. On 32 simulated worlds that keep every assumption, seeds the tests were not
developed on, some of them warned on 2; level .02 named no more of the worlds whose intervals broke."""


class Gate(BaseModel):
    """Levels of every check, by its name in `causal/validation`; what each measures stands with the check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r_hat: AtMost = AtMost(warn=1.01, fail=1.01)
    """Vehtari et al. (2021), Rank-normalization, folding, and localization, for this and effective sample sizes."""
    ess_bulk: AtLeast = AtLeast(warn=400, fail=400)
    ess_tail: AtLeast = AtLeast(warn=400, fail=400)
    divergences: AtMost = AtMost(warn=0, fail=0.001)
    """Share of draws that is left when the remedies of `fit` have been tried."""
    bfmi: AtLeast = AtLeast(warn=0.3, fail=0.1)
    """Betancourt (2016), Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo."""

    heldout_accuracy: AtLeast = AtLeast(warn=0.85, fail=0.0)
    holdout_skill: AtLeast = AtLeast(warn=0.0, fail=-0.1)
    media_skill: AtLeast = AtLeast(warn=-0.02, fail=-0.1)
    interval_coverage: AtLeast = AtLeast(warn=0.05, fail=0.001)
    """Of the probability that as few weeks lie inside if the model is right."""
    pit_uniformity: AtLeast = P_VALUE

    posterior_predictive: AtLeast = P_VALUE
    residual_autocorrelation: AtMost = AtMost(warn=0.3, fail=0.7)
    """Of its absolute value."""
    ljung_box: AtLeast = P_VALUE
    negative_baseline: AtMost = AtMost(warn=0.2, fail=0.8)
    multicollinearity: AtMost = AtMost(warn=10)
    prior_posterior_shift: AtLeast = AtLeast(warn=1)
    """Share of channels."""
    refit_stability: AtMost = AtMost(warn=1.0, fail=2.5)
    """Posterior standard deviations."""
    champion_stability: AtMost = AtMost(warn=2.0)

    leads_of_media: AtLeast = ASSUMPTION
    functional_form: AtLeast = ASSUMPTION
    baseline_break: AtLeast = ASSUMPTION
    serial_dependence: AtLeast = ASSUMPTION
    placebo_channels: AtLeast = ASSUMPTION
    entangled_effects: AtLeast = AtLeast(warn=-0.7)
    outlier_leverage: AtMost = AtMost(warn=1.0)
    steeper_curve: AtMost = AtMost(warn=3.0)
    """Logarithm of a Bayes factor."""

    served_weeks: AtMost = Field(default=AtMost(warn=6))
    """Weeks of data that the served model has not seen; a check of `causal/champion`, not of a fit."""

    @model_validator(mode="before")
    @classmethod
    def _what_is_not_said_stays(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        out: dict[str, Any] = {}
        for name, given in values.items():
            known = cls.model_fields.get(str(name))
            merge = isinstance(given, Mapping) and known is not None
            out[str(name)] = known.default.model_dump() | dict(given) if merge and known is not None else given
        return out
