"""Which alert leads: one event a fall, and a new event when it gets far worse."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.sentiment.watch.grouping import Fall, led_by

DAY = date(2026, 1, 1)


def mentions(level: dict[str, float], n: int = 200, seed: int = 0) -> pl.DataFrame:
    """As many mentions of each campaign and language as of the others; campaigns have their level."""
    rng = np.random.default_rng(seed)
    campaigns = rng.choice(list(level), n)
    net = np.array([level[name] for name in campaigns]) + rng.normal(0, 0.3, n)
    return pl.DataFrame({"campaign": campaigns, "language": rng.choice(["en", "de"], n), "net": net})


def belongs(kind: str, name: str) -> pl.Expr:
    return pl.lit(True) if kind == "total" else pl.col(kind) == name


CALM = mentions({"a": 0.3, "b": 0.3}, seed=1)


def fall(kind: str, name: str, after: pl.DataFrame, *, start: int = 0, severity: float = 0.8) -> Fall:
    inside = belongs(kind, name)
    before, now = CALM.filter(inside), after.filter(inside)
    effect = now["net"].mean() - before["net"].mean()  # type: ignore[operator]
    first = DAY + timedelta(days=start)
    return Fall(
        alert_id=f"{kind} {name} {start}", kind=kind, name=name, start=first, end=first + timedelta(days=4),
        effect=float(effect), severity=severity, before=before, after=now,
    )  # fmt: skip


def test_the_stream_that_explains_the_others_leads_them() -> None:
    after = mentions({"a": -0.6, "b": 0.3}, seed=2)
    falls = [fall("total", "all", after), fall("language", "en", after), fall("campaign", "a", after)]
    assert led_by(falls, belongs) == {
        "campaign a 0": None, "total all 0": "campaign a 0", "language en 0": "campaign a 0",
    }  # fmt: skip


def test_a_fall_of_everything_is_led_by_the_total() -> None:
    after = mentions({"a": -0.4, "b": -0.4}, seed=3)
    falls = [fall("total", "all", after), fall("language", "en", after), fall("campaign", "a", after)]
    assert led_by(falls, belongs) == {
        "total all 0": None, "language en 0": "total all 0", "campaign a 0": "total all 0",
    }  # fmt: skip


def test_a_far_worse_fall_that_follows_a_small_one_is_news() -> None:
    after = mentions({"a": -0.6, "b": 0.3}, seed=4)
    small = fall("campaign", "a", after, severity=0.2)
    worse, alike = (fall("total", "all", after, start=5, severity=severity) for severity in (0.9, 0.3))
    assert led_by([small, worse], belongs) == {small.alert_id: None, worse.alert_id: None}
    assert led_by([small, alike], belongs) == {small.alert_id: None, alike.alert_id: small.alert_id}
