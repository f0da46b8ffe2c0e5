"""Contexts and answers with known truth: clean ones in other words, and the same with one fact changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BRANDS = ("Norvik", "Altura Peak", "Brightpine", "Kestrel", "Trailmark", "Velora", "Ostheim Labs", "Quillon")
CHANNELS = ("paid search", "video", "newsletter", "social ads", "radio", "display")
MONTHS = ("January", "February", "March", "April", "June", "July", "August", "September", "October", "November")
METRICS = ("conversions", "orders", "visits", "sign-ups", "leads")
REPHRASED = {"rose": "increased", "fell": "declined"}
OPPOSITE = {"increased": "decreased", "declined": "grew"}


@dataclass(frozen=True)
class Case:
    context: str
    clean: str
    changed: str
    kind: str


def cases(n: int, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    return [_case(rng) for _ in range(n)]


def _case(rng: np.random.Generator) -> Case:
    brand, other = (str(b) for b in rng.choice(BRANDS, 2, replace=False))
    channel, metric, month = str(rng.choice(CHANNELS)), str(rng.choice(METRICS)), str(rng.choice(MONTHS))
    spend, percent = int(rng.integers(11, 900)) * 100, round(float(rng.uniform(1.2, 48.0)), 1)
    count, roi = int(rng.integers(1200, 99000)), round(float(rng.uniform(0.4, 6.0)), 2)
    move = str(rng.choice(("rose", "fell")))
    year = int(rng.integers(2022, 2026))
    context = (
        f"Report for {brand}. In {month} {year} the team spent €{spend:,} on {channel}. "
        f"{metric.capitalize()} {move} by {percent} % to {count:,}. "
        f"The return on {channel} was {roi} euros per euro spent. Delivery took 3 working days on average."
    )
    facts = {
        "brand": brand,
        "month": f"{month} {year}",
        "spend": f"{spend:,} EUR",
        "percent": f"{percent}%",
        "count": f"{count:,}",
        "roi": f"{roi}",
        "move": REPHRASED[move],
    }
    template = int(rng.integers(0, 3))
    clean = _answer(template, channel, metric, facts)
    kinds = {
        0: ("spend", "month", "brand", "percent", "count", "move"),
        1: ("brand", "percent", "count", "roi", "move"),
        2: ("spend", "month", "roi", "brand"),
    }
    kind = str(rng.choice(kinds[template]))
    wrong = {
        "brand": other,
        "month": f"{rng.choice([m for m in MONTHS if m != month])} {year}",
        "spend": f"{_other(rng, spend, 100):,} EUR",
        "percent": f"{_other(rng, percent, 0.1)}%",
        "count": f"{_other(rng, count, 1):,}",
        "roi": f"{_other(rng, roi, 0.01)}",
        "move": OPPOSITE[REPHRASED[move]],
    }
    return Case(context, clean, _answer(template, channel, metric, facts | {kind: wrong[kind]}), kind)


def _answer(template: int, channel: str, metric: str, f: dict[str, str]) -> str:
    if template == 0:
        return (
            f"{f['brand']} put {f['spend']} into {channel} in {f['month']}. "
            f"As a result, {metric} {f['move']} {f['percent']} and reached {f['count']}."
        )
    if template == 1:
        return (
            f"For {f['brand']}, {metric} {f['move']} to {f['count']} ({f['percent']}). "
            f"Each euro on {channel} returned {f['roi']} euros."
        )
    return (
        f"During {f['month']}, {f['brand']} spent {f['spend']} on {channel}, with a return of {f['roi']} per euro. "
        "Delivery took three working days."
    )


def _other(rng: np.random.Generator, value: float, step: float) -> float:
    """Another plausible value, off by 4 to 60 percent, on the same grid."""
    while True:
        moved = value * (1 + float(rng.choice((-1, 1))) * float(rng.uniform(0.04, 0.6)))
        rounded = round(round(moved / step) * step, 2)
        if rounded != value:
            return int(rounded) if step >= 1 else rounded
