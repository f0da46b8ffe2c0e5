"""Alerts on streams with known truth beside the usual rules, the index's intervals, and labelled public series."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from liftos_pipelines.bench.figure import Figure, unmeasured
from liftos_pipelines.modules.sentiment.watch.detector import DetectorSettings, Monitoring, watch

Array = NDArray[np.float64]
Days = list[list[int]]
"""Positions of the alarms of each stream."""

BENCHMARK = "sentiment"
YEAR = 365.25
ALLOWED, SOON, DELAY = 0.6, 14, 5
FROM = DetectorSettings().cool_down
"""The first day that the detector judges; the other rules are judged from the same day on."""
MEAN, POST_SD = 0.2, 0.7
STREAMS, TWO_YEARS = 150, 730
DROPPED, FALL_DAY, SHORT = 120, 250, 290


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Stable streams: days of sd .10 around .2, `rho` from one day to the next, `posts` a day, weekends lower."""

    name: str
    rho: float = 0.5
    posts: float = 60.0
    weekend: float = 0.0


KINDS = (
    Kind(name="rho .5, 60 posts a day"),
    Kind(name="rho .3", rho=0.3),
    Kind(name="rho .7", rho=0.7),
    Kind(name="12 posts a day", posts=12.0),
    Kind(name="weekends .15 lower", weekend=0.15),
)


def measure(data: Path) -> Iterator[Figure]:
    """False alarms, delay, false discoveries, coverage of the index, and back-tests on labelled series."""
    yield from _rates()
    yield from _delays()
    yield from _discoveries()
    yield from _coverage()
    yield from _volumes(data / "eval" / "nab")
    yield from _change_points(data / "eval" / "tcpd")


def streams(
    count: int, days: int, kind: Kind, *, seed: int, drop: float = 0.0, at: int | None = None
) -> tuple[Array, Array, Array]:
    """(count, days) net sentiment, its sampling variance, posts."""
    rng = np.random.default_rng(seed)
    posts = rng.poisson(kind.posts, size=(count, days)).astype(float)
    lasting = rng.normal(size=(count, days)) * 0.1
    for day in range(1, days):
        lasting[:, day] = kind.rho * lasting[:, day - 1] + np.sqrt(1 - kind.rho**2) * lasting[:, day]
    variance = POST_SD**2 / np.where(posts > 0, posts, np.nan)
    net = MEAN + lasting + rng.normal(size=(count, days)) * np.sqrt(variance)
    net -= kind.weekend * (np.arange(days) % 7 >= 5)
    if at is not None:
        net[:, at:] -= drop
    return net, variance, posts


def detected(net: Array, variance: Array, posts: Array) -> tuple[Days, float]:
    """Alarms of each stream watched on its own, and stream-years."""
    found = watch(net, variance, posts, settings=DetectorSettings(), seed=7, family=np.arange(len(net)))
    known = [one for one in found if one is not None]
    return [[alarm.day for alarm in one.alarms] for one in known], sum(one.monitored_days for one in known) / YEAR


def rolling_z(net: Array, limit: float = -2.0, days: int = 28) -> Days:
    """Today against mean and spread of the trailing four weeks: an alarm on every day below the limit."""
    windows = np.lib.stride_tricks.sliding_window_view(net, days, axis=1)[:, :-1]
    z = (net[:, days:] - np.nanmean(windows, axis=2)) / np.nanstd(windows, axis=2)
    return [[int(day) + days for day in np.flatnonzero(row < limit) if day + days >= FROM] for row in z]


def plain_cusum(net: Array, limit: float = 5.0) -> Days:
    """CUSUM of standardised days (slack .5) with mean and spread of the first 38 days; restarts after an alarm."""
    z = (net - np.nanmean(net[:, :FROM], axis=1, keepdims=True)) / np.nanstd(net[:, :FROM], axis=1, keepdims=True)
    statistic = np.zeros(len(net))
    found: Days = [[] for _ in net]
    for day in range(FROM, net.shape[1]):
        statistic = np.maximum(0.0, statistic - np.nan_to_num(z[:, day]) - 0.5)
        for row in np.flatnonzero(statistic > limit):
            found[row].append(day)
            statistic[row] = 0.0
    return found


RULES: dict[str, Callable[[Array], Days]] = {
    "rolling z < -2": rolling_z,
    "plain CUSUM": plain_cusum,
    "always": lambda net: [list(range(FROM, net.shape[1])) for _ in net],
    "never": lambda net: [[] for _ in net],
}


def rate(alarms: int, years: float) -> tuple[float, float, float]:
    """Alarms a year with the exact 90 % interval of a Poisson rate (Garwood 1936)."""
    low = stats.chi2.ppf(0.05, 2 * alarms) / 2 if alarms else 0.0
    return alarms / years, float(low) / years, float(stats.chi2.ppf(0.95, 2 * (alarms + 1)) / 2) / years


def _rates() -> Iterator[Figure]:
    for number, kind in enumerate(KINDS):
        count = STREAMS if number == 0 else STREAMS // 2
        worlds = streams(count, TWO_YEARS, kind, seed=101 + number)
        found, years = detected(*worlds)
        value, low, high = rate(sum(map(len, found)), years)
        days_years = count * (TWO_YEARS - FROM) / YEAR
        beside = {name: sum(map(len, rule(worlds[0]))) / days_years for name, rule in RULES.items()}
        yield Figure(
            benchmark=BENCHMARK, name=f"false alarms, {kind.name}", value=value, low=low, high=high,
            unit="a stream-year", n=count, goal=f"<= {ALLOWED}",
            method=f"{years:.0f} calm stream-years, parameters estimated; {_words(beside)}",
            baseline="rolling z < -2", baseline_value=beside["rolling z < -2"],
        )  # fmt: skip


def _delays() -> Iterator[Figure]:
    for number, (drop, kind) in enumerate(
        [(0.3, KINDS[0]), (0.2, KINDS[0]), (0.1, KINDS[0]), (0.3, KINDS[2]), (0.3, KINDS[3]), (0.3, KINDS[4])]
    ):
        worlds = streams(DROPPED, SHORT, kind, seed=201 + number, drop=drop, at=FALL_DAY)
        found, _ = detected(*worlds)
        median, p90, soon = _late(found)
        beside = {name: _late(rule(worlds[0])) for name, rule in RULES.items()}
        what = f"drop of {drop:g}, {kind.name}"
        low, high = _median_interval(found)
        yield Figure(
            benchmark=BENCHMARK, name=f"days until found, {what}", value=_or_none(median), low=_or_none(low),
            high=_or_none(high), unit="days, median", n=DROPPED,
            goal=f"<= {DELAY}" if (drop, kind) == (0.3, KINDS[0]) else None,
            method=f"90 % within {_days(p90)}; {_words({name: late[0] for name, late in beside.items()})}",
            baseline="plain CUSUM", baseline_value=_or_none(beside["plain CUSUM"][0]),
        )  # fmt: skip
        wide = stats.binomtest(round(soon * DROPPED), DROPPED).proportion_ci(0.9, method="wilson")
        yield Figure(
            benchmark=BENCHMARK, name=f"found within {SOON} days, {what}", value=soon, low=wide.low, high=wide.high,
            unit="", n=DROPPED, method=_words({name: late[2] for name, late in beside.items()}),
            baseline="plain CUSUM", baseline_value=beside["plain CUSUM"][2],
        )  # fmt: skip


def _late(found: Days) -> tuple[float, float, float]:
    """Median and 90 % quantile of the days from the fall to the first alarm, and the share within two weeks."""
    delays = _first(found)
    return float(np.median(delays)), float(np.quantile(delays, 0.9, method="higher")), float((delays <= SOON).mean())


def _first(found: Days) -> Array:
    return np.array([min((day - FALL_DAY + 1 for day in days if day >= FALL_DAY), default=np.inf) for days in found])


def _median_interval(found: Days) -> tuple[float, float]:
    delays = np.sort(_first(found))
    low, high = stats.binom.ppf([0.05, 0.95], delays.size, 0.5).astype(int)
    return float(delays[low - 1]), float(delays[high])


def _discoveries() -> Iterator[Figure]:
    """Worlds of many streams, some fallen: share of alarms that are false, and what each stream alone would do."""
    settings = DetectorSettings()
    for many, dropped, worlds in ((5, 0, 40), (50, 0, 4), (5, 1, 40), (20, 2, 12), (50, 10, 4)):
        net, variance, posts = streams(worlds * many, SHORT, KINDS[0], seed=301 + many + dropped)
        family = np.repeat(np.arange(worlds), many)
        fell = np.tile(np.arange(many) < dropped, worlds)
        at = 220
        net[fell, at:] -= 0.3
        end = at + settings.horizon_days
        outcome, nulls = {}, None
        for name, groups in (("together", family), ("each alone", np.arange(family.size))):
            found = watch(net, variance, posts, settings=settings, seed=7, family=groups, nulls=nulls)
            nulls = [one.null if one is not None else None for one in found]
            outcome[name] = _judged([one for one in found if one is not None], family, fell, at, end)
        share, hit, false, years = outcome["together"]
        value, low, high = rate(false, years / many)
        yield Figure(
            benchmark=BENCHMARK, name=f"false alarms, {many} streams watched together, {dropped} fall",
            value=value, low=low, high=high, unit="a client-year", n=worlds,
            goal=f"<= {ALLOWED}" if not dropped else None,
            method=f"{false / years:.3f} a stream-year; {years:.0f} stream-years",
            baseline="each stream on its own", baseline_value=outcome["each alone"][2] / (years / many),
        )  # fmt: skip
        yield Figure(
            benchmark=BENCHMARK, name=f"false discovery rate, {many} streams, {dropped} fall",
            value=float(np.mean(share)), low=float(stats.beta.ppf(0.05, sum(share) + 1e-9, worlds - sum(share) + 1)),
            high=float(stats.beta.ppf(0.95, sum(share) + 1, worlds - sum(share) + 1e-9)), unit="", n=worlds,
            goal=f"<= {settings.false_discoveries}",
            method=f"share of false alarms within {settings.horizon_days:.0f} days"
            + (f"; {hit:.0%} of drops of .3 found" if dropped else ""),
            baseline="each stream on its own", baseline_value=float(np.mean(outcome["each alone"][0])),
        )  # fmt: skip


def _judged(
    found: Sequence[Monitoring], family: NDArray[np.int64], fell: NDArray[np.bool_], at: int, end: float
) -> tuple[list[float], float, int, float]:
    """False share of each world's alarms within the horizon, share of drops found, false alarms, stream-years."""
    shares, hits, false = [], 0, 0
    for world in np.unique(family):
        wrong = right = 0
        for row in np.flatnonzero(family == world).tolist():
            now = any(at <= alarm.day < end for alarm in found[row].alarms)
            false += sum(alarm.day < at or not fell[row] for alarm in found[row].alarms)
            right, wrong = right + int(fell[row] and now), wrong + int(now and not fell[row])
        shares.append(wrong / max(1, wrong + right))
        hits += right
    return shares, hits / max(1, int(fell.sum())), false, sum(one.monitored_days for one in found) / YEAR


def _coverage() -> Iterator[Figure]:
    """Texts read by an unsure classifier, net sentiment from -.6 to +.6: intervals with and without correction."""
    from liftos_pipelines.modules.sentiment.reading.calibration import soft_confusion
    from liftos_pipelines.modules.sentiment.watch.index import net_sentiment_by_day, scored_mentions, total_of

    truth = np.linspace(-0.6, 0.6, 25)
    held = {"corrected": 0, "not corrected": 0}
    widths = {name: 0.0 for name in held}
    days, worlds = 0, 40
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        classes = np.repeat(np.arange(3), 300)
        confusion = {"en": soft_confusion(_unsure(classes, rng), classes)}
        y = np.concatenate([rng.choice(3, size=60, p=[0.35 - net / 2, 0.3, 0.35 + net / 2]) for net in truth])
        scores, mentions = _frames(_unsure(y, rng), np.repeat(np.arange(truth.size), 60))
        for name, known in (("corrected", confusion), ("not corrected", None)):
            index = total_of(net_sentiment_by_day(scored_mentions(scores, mentions, known)).table).sort("date")
            low, high = index["low"].to_numpy(), index["high"].to_numpy()
            held[name] += int(((low <= truth) & (truth <= high)).sum())
            widths[name] += float((high - low).mean()) / worlds
        days += truth.size
    wide = stats.binomtest(held["corrected"], days).proportion_ci(0.9, method="wilson")
    yield Figure(
        benchmark=BENCHMARK, name="days whose true net sentiment is held", value=held["corrected"] / days,
        low=wide.low, high=wide.high, unit="", n=days, goal=".85 to .95",
        method=f"90 % intervals, 60 posts a day, net -.6 to .6, an unsure classifier calibrated on 300 texts a class; "
        f"mean width {widths['corrected']:.2f}, not corrected {widths['not corrected']:.2f}",
        baseline="mean of probabilities, not corrected", baseline_value=held["not corrected"] / days,
    )  # fmt: skip


def _unsure(truth: NDArray[np.int64], rng: np.random.Generator) -> Array:
    logits = rng.normal(size=(truth.size, 3)) * 0.6 + 0.9 * np.eye(3)[truth] + np.array([0.0, 0.0, 0.2])
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _frames(p: Array, days: NDArray[np.int64]) -> tuple[pl.DataFrame, pl.DataFrame]:
    from liftos_pipelines.tables import table

    start = datetime(2024, 1, 1, 12, tzinfo=UTC)
    ids = [f"m{row}" for row in range(len(p))]
    names = ("p_negative", "p_neutral", "p_positive")
    mentions = pl.DataFrame(
        {
            "mention_id": ids, "published_at": [start + timedelta(days=int(day)) for day in days], "source": "x",
            "text": ids, "author": ids, "language": "en", "campaign_id": None, "url": None, "engagement": 1.0,
            "rating": None,
        },
        schema=table("sources/mentions").columns,
    )  # fmt: skip
    scores = {"mention_id": ids, "language": ["en"] * len(ids)} | {name: p[:, k] for k, name in enumerate(names)}
    return pl.DataFrame(scores).with_columns(topics=pl.lit(None, pl.List(pl.String))), mentions


HOURLY = DetectorSettings(
    baseline_days=14 * 24, gap_days=24, min_baseline=5 * 24, period=24, both_ways=True, min_volume=0.0,
    persist_days=2, of_days=3, most_a_day=6.0, slack=0.75, max_false_alarms=6.0, steps_a_year=24 * YEAR,
)  # fmt: skip
"""Volumes by the hour: both directions, hours of the day taken out, six false alarms a year allowed."""


def _volumes(folder: Path) -> Iterator[Figure]:
    """Mentions of ten companies by the hour with labelled windows: how many are found, and at what false rate."""
    if not folder.is_dir():
        yield unmeasured(BENCHMARK, "labelled windows of mention volume", "", f"{folder} is absent")
        return
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    counts, windows = [], []
    for name in sorted(labels):
        times, values = _hourly(folder / name)
        counts.append(values)
        windows.append([(_hour(times[0], a), _hour(times[0], b)) for a, b in labels[name]])
    steps = max(map(len, counts))
    y, v = (np.full((len(counts), steps), np.nan) for _ in range(2))
    for row, values in enumerate(counts):
        # The square root of a count has a sampling variance of 1/4 whatever its mean (Anscombe 1948).
        y[row, : values.size], v[row, : values.size] = np.sqrt(values + 0.375), 0.25
    found = watch(y, v, np.ones_like(y), settings=HOURLY, seed=7, family=np.arange(len(y)))
    days = [[alarm.day for alarm in one.alarms] if one is not None else [] for one in found]
    z = [_spikes(values, HOURLY.cool_down) for values in counts]
    always = [list(range(HOURLY.cool_down, values.size)) for values in counts]
    total = sum(1 for own in windows for _, b in own if b >= HOURLY.cool_down)
    never: Days = [[] for _ in counts]
    scored = {
        name: _windows_found(alarms, windows, counts, HOURLY.cool_down)
        for name, alarms in (("detector", days), ("rolling z > 4", z), ("always", always), ("never", never))
    }
    hits, _, years = scored["detector"]
    wide = stats.binomtest(hits, total).proportion_ci(0.9, method="wilson")
    yield Figure(
        benchmark=BENCHMARK, name="labelled windows of mention volume found (NAB, hourly)", value=hits / total,
        low=wide.low, high=wide.high, unit="", n=total,
        method="windows after the first baseline; " + _words({name: one[0] / total for name, one in scored.items()}),
        baseline="rolling z > 4", baseline_value=scored["rolling z > 4"][0] / total,
    )  # fmt: skip
    value, low, high = rate(scored["detector"][1], years)
    yield Figure(
        benchmark=BENCHMARK, name="alarms outside the labelled windows (NAB, hourly)", value=value, low=low, high=high,
        unit="a stream-year", n=len(counts),
        method=f"{years:.1f} stream-years; {_words({name: one[1] / years for name, one in scored.items()})}",
        baseline="rolling z > 4", baseline_value=scored["rolling z > 4"][1] / years,
    )  # fmt: skip


def _hourly(file: Path) -> tuple[list[datetime], Array]:
    hours = (
        pl.read_csv(file, try_parse_dates=True)
        .group_by(pl.col("timestamp").dt.truncate("1h").alias("hour"))
        .agg(pl.col("value").sum())
        .sort("hour")
        .upsample("hour", every="1h")
    )
    return hours["hour"].to_list(), hours["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _hour(first: datetime, moment: str) -> int:
    return int((datetime.fromisoformat(moment) - first).total_seconds() // 3600)


def _spikes(values: Array, start: int, hours: int = 168, limit: float = 4.0) -> list[int]:
    """The usual rule on volume: an hour four standard deviations over the trailing week; once in a day."""
    found: list[int] = []
    for hour in range(max(start, hours), values.size):
        past = values[hour - hours : hour]
        if values[hour] > np.nanmean(past) + limit * np.nanstd(past) and (not found or hour - found[-1] >= 24):
            found.append(hour)
    return found


def _windows_found(
    alarms: Days, windows: list[list[tuple[int, int]]], counts: list[Array], start: int
) -> tuple[int, int, float]:
    """Windows with an alarm, alarms outside every window, stream-years after the first baseline."""
    hits = false = 0
    for own, inside in zip(alarms, windows, strict=True):
        hits += sum(any(a <= step <= b for step in own) for a, b in inside)
        false += sum(not any(a <= step <= b for a, b in inside) for step in own)
    return hits, false, sum(values.size - start for values in counts) / (24 * YEAR)


YEARLY = DetectorSettings(
    baseline_days=40, gap_days=2, min_baseline=10, period=0, both_ways=True, min_volume=0.0, most_a_day=4.0,
    persist_days=2, of_days=3, steps_a_year=60.0,
)  # fmt: skip
"""Short public series: a baseline of ten steps, and .6 false alarms in sixty."""
MARGIN = 5


def _change_points(folder: Path) -> Iterator[Figure]:
    """Twelve series with change points marked by several people: F1 with a margin of five steps, beside dummies."""
    if not folder.is_dir():
        yield unmeasured(BENCHMARK, "change points of marked series", "", f"{folder} is absent")
        return
    marks: Mapping[str, Mapping[str, list[int]]] = json.loads((folder / "annotations.json").read_text())
    scores: dict[str, list[float]] = {"detector": [], "never": [], "always": []}
    for file in sorted(folder.glob("*.json")):
        if file.stem not in marks:
            continue
        series = json.loads(file.read_text())
        raw = np.array([np.nan if x is None else x for x in series["series"][0]["raw"]], dtype=float)
        y = (raw - np.nanmean(raw)) / np.nanstd(raw)
        found = watch(y[None], np.full((1, y.size), 1e-6), np.ones((1, y.size)), settings=YEARLY, seed=7)[0]
        own = [alarm.onset for alarm in found.alarms] if found is not None else []
        for name, points in (("detector", own), ("never", []), ("always", list(range(0, y.size, MARGIN)))):
            scores[name].append(f_measure(list(marks[file.stem].values()), points))
    n = len(scores["detector"])
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    rng = np.random.default_rng(7)
    draws = rng.choice(np.array(scores["detector"]), size=(2000, n)).mean(axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    yield Figure(
        benchmark=BENCHMARK, name="F1 of change points, margin 5 (TCPD)", value=means["detector"], low=float(low),
        high=float(high), unit="", n=n,
        method=f"a sequential detector on short trending series, not what it is for; {_words(means)}",
        baseline="never", baseline_value=means["never"],
    )  # fmt: skip


def f_measure(annotators: Sequence[Sequence[int]], found: Sequence[int]) -> float:
    """F1 against several people (van den Burg and Williams 2020): recall is their mean; 0 counts as a point."""
    predicted = sorted({0, *found})
    together = {0, *(point for points in annotators for point in points)}
    precision = len(_matched(sorted(together), predicted)) / len(predicted)
    recalls = [len(_matched(sorted({0, *points}), predicted)) / len({0, *points}) for points in annotators]
    recall = float(np.mean(recalls))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _matched(true: Sequence[int], predicted: Sequence[int]) -> set[int]:
    """True points that have a prediction within the margin of their own."""
    free, hit = set(predicted), set()
    for point in true:
        near = [(abs(point - other), other) for other in free if abs(point - other) <= MARGIN]
        if near:
            free.remove(min(near)[1])
            hit.add(point)
    return hit


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_days(value) if np.isinf(value) else f'{value:.3g}'}" for name, value in values.items())


def _days(value: float) -> str:
    return "not within the time" if np.isinf(value) else f"{value:.0f} days"


def _or_none(value: float) -> float | None:
    return None if np.isinf(value) else value
