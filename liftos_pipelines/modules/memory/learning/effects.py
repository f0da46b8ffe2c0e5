"""What an action's past effects say of its next one: a random-effects posterior, each measurement by its own error.

A measured effect is the action's mean effect in such contexts, plus how occasions differ, plus measurement error. The
next occasion succeeds with probability Phi(mean / between), so a few clear effects say more than counting them as
successes would, and an effect with a large error says little. Source: Hartung, Knapp and Sinha (2008), Statistical
meta-analysis with applications, chapter 4; the relevance of each effect enters as a power of its likelihood (Ibrahim
and Chen, 2000, Power prior distributions for regression models).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

FloatArray = NDArray[np.float64]

BETWEEN = np.geomspace(0.05, 3.0, 16)
"""How far occasions may differ, over the usual size of an effect; each equally likely beforehand."""
_QUANTILES = special.ndtri((np.arange(40) + 0.5) / 40)
LOW, HIGH = 0.05, 0.95
LEAST_SPREAD = 0.1


def prior_sd(effects: FloatArray, errors: FloatArray) -> float:
    """How large true effects usually are, standardised: their spread around zero beyond measurement error, by the
    method of moments, with one effect of the usual size thrown in. The prior's mean is zero: that an action was tried
    says nothing of whether it helps (a sceptical prior: Spiegelhalter, Freedman and Parmar, 1994, Bayesian approaches
    to randomized trials)."""
    weights = 1 / (1 + errors**2)
    spread = float((weights * (effects**2 - errors**2)).sum() + 1) / float(weights.sum() + 1)
    return float(np.sqrt(max(spread, LEAST_SPREAD)))


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What the evidence says of an action's next effect.

    mean, low, high : probability that the next occasion succeeds, with its 90 % interval
    p_mostly_succeeds : probability that the mean effect is good
    effect, effect_low, effect_high : mean effect, standardised and positive when good, with its 90 % interval
    weight : evidence, in observations as relevant as the nearest
    """

    mean: float
    low: float
    high: float
    p_mostly_succeeds: float
    effect: float
    effect_low: float
    effect_high: float
    weight: float

    @property
    def confidence(self) -> float:
        """Probability that the likelier direction is the right one."""
        return max(self.p_mostly_succeeds, 1 - self.p_mostly_succeeds)


def posterior(effects: FloatArray, errors: FloatArray, weights: FloatArray, sd: float) -> Posterior:
    """Posterior of an action's effect.

    Parameters
    ----------
    effects, errors : (n,) standardised, positive when good; weights : (n,) relevance of each, 0..1
    sd : of the prior, see `prior_sd`
    """
    used = weights > 0
    y, w = effects[used], weights[used]
    spread = errors[used][None, :] ** 2 + BETWEEN[:, None] ** 2
    precision = (w / spread).sum(axis=1) + 1 / sd**2
    centre = (w * y / spread).sum(axis=1) / precision
    # Marginal likelihood of each spread, the mean integrated out.
    fit = -0.5 * (w * (np.log(spread) + y**2 / spread)).sum(axis=1)
    fit += 0.5 * (centre**2 * precision - np.log(precision * sd**2))
    chance = np.exp(fit - fit.max())
    chance /= chance.sum()
    own_sd = 1 / np.sqrt(precision)
    means = centre[:, None] + own_sd[:, None] * _QUANTILES
    mass = np.broadcast_to(chance[:, None] / _QUANTILES.size, means.shape).ravel()
    rates = special.ndtr(means / BETWEEN[:, None]).ravel()
    low, high = _quantiles(rates, mass)
    effect_low, effect_high = _quantiles(means.ravel(), mass)
    mean = float(chance @ special.ndtr(centre / np.sqrt(1 / precision + BETWEEN**2)))
    return Posterior(
        mean=mean,
        # A mean beyond its quantile (a rate of almost 1 with a thin tail) still belongs to the interval.
        low=min(low, mean),
        high=max(high, mean),
        p_mostly_succeeds=float(chance @ special.ndtr(centre / own_sd)),
        effect=float(chance @ centre),
        effect_low=effect_low,
        effect_high=effect_high,
        weight=float(weights.sum()),
    )


def _quantiles(values: FloatArray, mass: FloatArray) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(mass[order]) - mass[order] / 2
    low, high = np.interp([LOW, HIGH], below, values[order])
    return float(low), float(high)
