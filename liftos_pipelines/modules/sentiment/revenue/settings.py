"""What the ladder takes as given; thresholds that a reader may want to know."""

from __future__ import annotations

from dataclasses import dataclass

ALPHA = 0.05
"""Chance of any wrong claim that all rungs together may take."""
LEVEL = 0.90
MIN_PERIODS = 40


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """Longest lag in periods and days looked at, forth and back; number of surrogate series and bootstrap draws;
    periods after a dated shock that are looked at; seed."""

    longest_lag: int = 4
    longest_daily_lag: int = 14
    surrogates: int = 499
    replicates: int = 500
    block: int = 4
    horizon: int = 3
    daily_horizon: int = 14
    permutations: int = 1999
    power_worlds: int = 200
    seed: int = 11

    def lag(self, step: int) -> int:
        return self.longest_daily_lag if step == 1 else self.longest_lag

    def window(self, step: int) -> int:
        return self.daily_horizon if step == 1 else self.horizon
