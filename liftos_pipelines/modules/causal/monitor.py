"""Whether the last full fit still stands for the newest weeks: importance weights p(new weeks | draw), smoothed.

Small k-hat and many effective draws mean that reweighting the stored draws would give what a refit gives; a large
k-hat is an alarm of drift. Source: Vehtari et al. (2024), Pareto smoothed importance sampling. Weights are always
taken from the last full fit, never chained.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from liftos_pipelines.modules.causal.transforms import FloatArray

ESS_FLOOR = 400.0


@dataclass(frozen=True, kw_only=True)
class Update:
    """`weights` (n_draws,) sum to 1; `trusted` when a reweighted posterior may be published without a refit."""

    k_hat: float
    ess: float
    good_k: float
    weights: FloatArray
    draws: int

    @property
    def trusted(self) -> bool:
        return self.k_hat <= self.good_k and self.ess >= ESS_FLOOR


def importance_update(log_new_weeks: FloatArray) -> Update:
    """Smoothed weights of the draws, given the new weeks.

    Parameters
    ----------
    log_new_weeks : (n_draws,), log p(new weeks | draw, weeks before)

    Raises
    ------
    ValueError : fewer than 100 draws: the tail of the weights cannot be fitted
    """
    import arviz as az

    draws = len(log_new_weeks)
    if draws < 100:
        raise ValueError(f"{draws} draws: at least 100 are needed")
    smoothed, k_hat = az.psislw(log_new_weeks - log_new_weeks.max())
    weights = np.exp(np.asarray(smoothed, dtype=float))
    weights /= weights.sum()
    return Update(
        k_hat=float(k_hat),
        ess=float(1 / np.square(weights).sum()),
        good_k=float(min(1 - 1 / np.log10(draws), 0.7)),
        weights=weights,
        draws=draws,
    )


def monitor_row(as_of: date, method: str, update: Update, *, weeks: int, fitted_until: date) -> pl.DataFrame:
    """One row of `causal/monitor`; extra columns good_k, new_weeks, draws, fitted_until."""
    return pl.DataFrame(
        {
            "as_of": [as_of],
            "method": [method],
            "k_hat": [update.k_hat],
            "ess": [update.ess],
            "drift_flag": [not update.trusted],
            "good_k": [update.good_k],
            "new_weeks": [weeks],
            "draws": [update.draws],
            "fitted_until": [fitted_until],
        }
    )
