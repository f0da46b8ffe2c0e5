"""Holidays and events per week: counted by day, stable when weeks are added, refused by name when unknown."""

from datetime import date, timedelta

import numpy as np
import pytest

from liftos_pipelines.modules.causal.inputs.calendar import event_share, holiday_days, repeated_holidays
from liftos_pipelines.modules.causal.inputs.panel import PanelError
from liftos_pipelines.modules.causal.spec import Event


def weeks_from(start: date, count: int) -> list[date]:
    return [start + timedelta(weeks=i) for i in range(count)]


def test_a_week_counts_the_days_from_its_first_to_its_seventh() -> None:
    # 25 and 26 December 2023 fall on Monday and Tuesday, 1 January 2024 on the Monday after.
    found = holiday_days("DE", weeks_from(date(2023, 12, 11), 4))
    assert found.tolist() == [0, 0, 2, 1]
    shifted = holiday_days("DE", weeks_from(date(2023, 12, 20), 2))
    assert shifted.tolist() == [2, 1], "a week need not begin on Monday"


def test_a_part_of_a_country_has_its_own_days() -> None:
    epiphany = weeks_from(date(2024, 1, 1), 1)
    assert holiday_days("DE-BY", epiphany).item() == holiday_days("DE", epiphany).item() + 1


def test_named_days_add_up_to_the_country_where_no_two_fall_together() -> None:
    weeks = weeks_from(date(2021, 12, 27), 106)
    names = repeated_holidays("DE", weeks)
    assert len(names) == 9
    assert {"Good Friday", "German Unity Day"} <= set(names)
    summed = np.sum([holiday_days("DE", weeks, name) for name in names], axis=0)
    assert np.array_equal(summed, holiday_days("DE", weeks))


def test_a_holiday_seen_in_one_year_only_has_no_term_of_its_own() -> None:
    # The jubilee and the state funeral of 2022 were once in the United Kingdom.
    names = repeated_holidays("GB", weeks_from(date(2021, 1, 4), 156))
    assert "Boxing Day" in names
    assert not [name for name in names if "Jubilee" in name or "Funeral" in name]
    assert repeated_holidays("GB", weeks_from(date(2022, 3, 7), 26)) == []


def test_later_weeks_do_not_change_what_was_counted() -> None:
    # 1 January 2022 was kept on 31 December 2021 in the United States.
    short, long = weeks_from(date(2021, 1, 4), 52), weeks_from(date(2021, 1, 4), 120)
    for code in ("US", "GB"):
        assert np.array_equal(holiday_days(code, short), holiday_days(code, long)[:52])
    assert holiday_days("US", short)[-1] == 2, "the day itself and the day it was kept on"


@pytest.mark.parametrize(("code", "said"), [("UK", "known for UK"), ("DE-XX", "DE has no part XX.*BY")])
def test_an_unknown_country_or_part_is_named(code: str, said: str) -> None:
    with pytest.raises(PanelError, match=said):
        holiday_days(code, weeks_from(date(2023, 1, 2), 5))


def test_an_event_covers_its_share_of_a_week_and_overlaps_count_once() -> None:
    weeks = weeks_from(date(2024, 1, 1), 4)
    sale = Event(name="sale", start=date(2024, 1, 5), end=date(2024, 1, 9))
    again = Event(name="sale", start=date(2024, 1, 9), end=date(2024, 1, 10))
    assert event_share([sale], weeks) == pytest.approx([3 / 7, 2 / 7, 0, 0])
    assert event_share([sale, again], weeks) == pytest.approx([3 / 7, 3 / 7, 0, 0])
    assert event_share([Event(name="day", start=weeks[2], end=weeks[2])], weeks) == pytest.approx([0, 0, 1 / 7, 0])
