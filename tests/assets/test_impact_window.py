"""A drop noticed early in a week is held against that week, though most of its own days lie in the one before."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from liftos_pipelines.assets.causal_impact import _impact_row
from liftos_pipelines.modules.causal.impact import Series
from liftos_pipelines.spine.events import Event
from liftos_pipelines.spine.payloads import SentimentDropDetected

MONDAY = date(2025, 9, 8)


def test_the_week_in_which_a_drop_is_noticed_counts() -> None:
    rng = np.random.default_rng(3)
    weeks = 100
    outcome = 1000 + rng.normal(0, 10, weeks)
    dates = tuple(MONDAY + timedelta(weeks=week - 90) for week in range(weeks))
    outcome[90:93] -= 300  # from Monday on
    series = Series(
        dates=dates, step=7, outcome=outcome, price=None, media=np.empty((0, weeks)), controls=np.empty((0, weeks))
    )
    noticed = MONDAY + timedelta(days=2)
    drop = SentimentDropDetected(
        alert_id="a", campaign_id="c", detected_at=datetime.combine(noticed, time(23), UTC),
        window_start=noticed - timedelta(days=7), window_end=noticed, severity=0.8, effect=-0.4, n=100, explanation="",
    )  # fmt: skip
    event = Event(
        seq=1, event_id="e", client="c", type="sentiment_drop_detected", occurred_at=drop.detected_at,
        recorded_at=drop.detected_at, payload=drop, causation_id=None, correlation_id="e",
    )  # fmt: skip
    row = _impact_row(series, "this data", event)
    assert not isinstance(row, str)
    assert row["window_end"] == MONDAY + timedelta(days=6)
    assert row["effect_high"] < 0
