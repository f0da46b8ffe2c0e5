"""Dates that move an outcome and are known beforehand: public holidays and named events, per week of the panel.

A week is its first day and the six that follow. Nothing here depends on the data, so the weeks of an update are
counted exactly as the weeks of the fit were.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import FloatArray
from liftos_pipelines.modules.causal.inputs.panel import PanelError
from liftos_pipelines.modules.causal.spec import Event

WEEK_DAYS = 7
LANGUAGE = "en_US"
LEAST_YEARS = 2


def holiday_days(code: str, weeks: Sequence[date], name: str | None = None) -> FloatArray:
    """Number of public-holiday days of each week, or of those that bear a name.

    Parameters
    ----------
    code : ISO 3166 country, or country-subdivision such as DE-BY
    weeks : first days, (n_weeks,)

    Returns
    -------
    (n_weeks,) days, 0 to 7

    Raises
    ------
    PanelError : the calendar does not know the code
    """
    kept = {day for day, names in _days(code, weeks).items() if name is None or name in names}
    return np.array([float(sum(week + timedelta(days=i) in kept for i in range(WEEK_DAYS))) for week in weeks])


def repeated_holidays(code: str, weeks: Sequence[date]) -> list[str]:
    """Names of the holidays that fall within the weeks in at least two calendar years; sorted.

    A holiday seen once cannot be told from whatever else happened in that week.
    """
    last = max(weeks) + timedelta(days=WEEK_DAYS)
    years: dict[str, set[int]] = {}
    for day, names in _days(code, weeks).items():
        for name in names:
            if min(weeks) <= day < last:
                years.setdefault(name, set()).add(day.year)
    return sorted(name for name, seen in years.items() if len(seen) >= LEAST_YEARS)


def event_share(events: Sequence[Event], weeks: Sequence[date]) -> FloatArray:
    """Share of each week's days that at least one of the events covers; (n_weeks,), 0 to 1."""
    return np.array(
        [
            sum(any(e.start <= week + timedelta(days=i) <= e.end for e in events) for i in range(WEEK_DAYS)) / WEEK_DAYS
            for week in weeks
        ]
    )


def _days(code: str, weeks: Sequence[date]) -> dict[date, tuple[str, ...]]:
    return _calendar(code, min(weeks).year, (max(weeks) + timedelta(days=WEEK_DAYS - 1)).year)


@lru_cache(maxsize=256)
def _calendar(code: str, first: int, last: int) -> dict[date, tuple[str, ...]]:
    """Holidays of a country by day, named in English, a substitute day by the name of the day it stands for."""
    import holidays

    country, _, part = code.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise PanelError(
            f"causal.holidays: no calendar of public holidays is known for {country}"
            f"{_closest(country, list(known))}; leave it out and name its days in causal.events"
        )
    if part and part not in known[country]:
        raise PanelError(
            f"causal.holidays: {country} has no part {part}{_closest(part, list(known[country]))}; "
            f"known: {', '.join(known[country]) or 'none'}"
        )
    # A first of January may be kept on the last of December, so the years beside are read too.
    years = range(first - 1, last + 2)
    # The language is fixed: without it the names, and with them the model's terms, follow the machine's locale.
    found = holidays.country_holidays(country, subdiv=part or None, years=years, language=LANGUAGE)
    return {
        day: tuple(sorted({name.removesuffix(" (observed)") for name in found.get_list(day)}))
        for day in sorted(found)
        if first <= day.year <= last
    }


def _closest(code: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(code, known, n=1, cutoff=0.4)
    return f' (closest: "{close[0]}")' if close else ""
