"""The report's drawings as inline SVG: no script, colours of the page's theme, never colour alone.

Positions across are per cent of the width, so drawings stretch with the page while words keep their size. Every text
that comes from data is escaped here.
"""

# ruff: noqa: E501 (a rule of the stylesheet reads better unbroken)

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = ("#2f78b7", "#c2621d", "#2c8a57", "#9160c4")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
NBSP = "\u00a0"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

STYLE = f"""
.rows{{margin:.5rem 0;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.rows .row{{display:grid;grid-template-columns:minmax(7rem,13rem) minmax(0,1fr) minmax(11rem,17rem);gap:0 .9rem;align-items:center;border-top:1px solid var(--line);padding:.15rem 0;break-inside:avoid}}
.rows .name{{overflow-wrap:anywhere}}.rows .own .name{{font-weight:700}}.rows .numbers{{font-size:.92rem;font-variant-numeric:tabular-nums}}
.rows svg{{display:block;width:100%;overflow:visible}}.rows text,.chart text{{fill:var(--soft);font-size:12px}}
.span{{stroke:{COLOURS[0]};stroke-width:6}}.dot{{fill:var(--ink)}}.others .span{{stroke:var(--soft);stroke-width:4}}
.zero{{stroke:var(--ink);stroke-width:1}}.less{{fill:{COLOURS[1]}}}.more{{fill:{COLOURS[0]}}}.whisker{{stroke:var(--ink);stroke-width:1.5}}
.chart{{display:flex;gap:.3rem;margin:.5rem 0;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.chart .plot{{flex:1 1 0;min-width:0;overflow:visible}}.chart .scale{{flex:none}}.chart polyline,.chart path{{vector-effect:non-scaling-stroke}}
.grid{{stroke:var(--line);stroke-width:1}}.band{{fill:{COLOURS[0]};opacity:.22}}
.key{{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:.2rem 0 .4rem;padding:0;list-style:none;font-size:.9rem}}
.key li{{display:flex;gap:.4rem;align-items:center;overflow-wrap:anywhere}}.key svg{{flex:none}}
@media (max-width:40rem){{.rows .row{{grid-template-columns:1fr;padding:.45rem 0}}}}
@media print{{.rows .row{{grid-template-columns:9rem minmax(0,1fr) 13rem}}}}
"""


def text(words: str) -> str:
    return html.escape(words, quote=True)


def percent(share: float | None, signed: bool = False) -> str:
    """A share in per cent, `unknown` for none; one decimal below ten."""
    if share is None or not math.isfinite(share):
        return "unknown"
    number = round(100 * share, 1) + 0.0
    digits = 0 if abs(number) >= 10 or number == 0 else 1
    return f"{number:{'+' if signed and number else ''}.{digits}f}{NBSP}%"


def points(change: float | None) -> str:
    """A difference of shares in percentage points, signed."""
    if change is None or not math.isfinite(change):
        return "unknown"
    number = round(100 * change, 1) + 0.0
    return f"{number:{'+' if number else ''}.1f}"


def chance(probability: float | None) -> str:
    if probability is None or not math.isfinite(probability):
        return "unknown"
    return (
        f">{NBSP}99{NBSP}%"
        if probability > 0.99
        else f"<{NBSP}1{NBSP}%"
        if probability < 0.01
        else f"{100 * probability:.0f}{NBSP}%"
    )


def month(period: str) -> str:
    """`2025-11` as `Nov 2025`."""
    year, number = period.split("-")
    return f"{MONTHS[int(number) - 1]} {year}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a forest; `own` is drawn and written stronger."""

    name: str
    value: float
    low: float
    high: float
    numbers: str
    own: bool = False


def forest(rows: Sequence[Row], words: str) -> str:
    """Values as dots on their intervals, on one axis from nil."""
    if not rows:
        return ""
    last = max(max(row.high for row in rows), 0.05) * 1.04

    def x(number: float) -> float:
        return min(max(100 * number / last, 0.0), 100.0)

    out = []
    for row in rows:
        drawn = f'<line class="span" x1="{x(row.low):.2f}%" x2="{x(row.high):.2f}%" y1="13" y2="13"/>'
        drawn += f'<circle class="dot" cx="{x(row.value):.2f}%" cy="13" r="5"/>'
        out.append(
            f'<div class="row {"own" if row.own else "others"}"><span class="name">{text(row.name)}</span>'
            f'<svg height="26" role="img" aria-label="{text(f"{row.name}: {row.numbers}")}">{drawn}</svg>'
            f'<span class="numbers">{text(row.numbers)}</span></div>'
        )
    axis = ""
    for mark in _ticks(last):
        place = x(mark)
        anchor = "start" if place < 3 else "end" if place > 97 else "middle"
        axis += f'<text x="{place:.2f}%" y="14" text-anchor="{anchor}">{percent(mark)}</text>'
    foot = f'<div class="row" aria-hidden="true"><span></span><svg height="18">{axis}</svg><span></span></div>'
    return f'<div class="rows" role="group" aria-label="{text(words)}">{"".join(out)}{foot}</div>'


def parts(rows: Sequence[Row], words: str) -> str:
    """Signed parts as bars from nil, with whiskers; to the left takes away, to the right adds."""
    if not rows:
        return ""
    reach = max([*(abs(edge) for row in rows for edge in (row.low, row.high, row.value)), 0.01]) * 1.05

    def x(number: float) -> float:
        return 50 + 50 * number / reach

    out = []
    for row in rows:
        left, right = sorted((x(0.0), x(row.value)))
        drawn = (
            f'<rect class="{"less" if row.value < 0 else "more"}" x="{left:.2f}%" width="{right - left:.2f}%" y="6" height="14"/>'
            f'<line class="whisker" x1="{x(row.low):.2f}%" x2="{x(row.high):.2f}%" y1="13" y2="13"/>'
            '<line class="zero" x1="50%" x2="50%" y1="0" y2="26"/>'
        )
        out.append(
            f'<div class="row"><span class="name">{text(row.name)}</span>'
            f'<svg height="26" role="img" aria-label="{text(f"{row.name}: {row.numbers}")}">{drawn}</svg>'
            f'<span class="numbers">{text(row.numbers)}</span></div>'
        )
    return f'<div class="rows" role="group" aria-label="{text(words)}">{"".join(out)}</div>'


@dataclass(frozen=True, kw_only=True)
class Line:
    """A brand over the months: value, and for the brand itself low and high; None where it was not measured."""

    name: str
    values: Sequence[float | None]
    band: Sequence[tuple[float, float] | None] | None = None


def lines(months: Sequence[str], series: Sequence[Line], words: str, height: int = 220) -> str:
    """Rates over months; the first series has a band and a full line, the others dashes of their own."""
    top_room, bottom_room = 8, 22
    inner = height - top_room - bottom_room
    highs = [value for line in series for value in line.values if value is not None]
    highs += [edge[1] for line in series for edge in line.band or [] if edge is not None]
    last = min(max([*highs, 0.05]) * 1.05, 1.0)

    def across(i: int) -> float:
        return 50.0 if len(months) == 1 else 4 + 92 * i / (len(months) - 1)

    def down(value: float) -> float:
        return top_room + inner * (1 - min(value, last) / last)

    drawn, shapes = "", ""
    for mark in _ticks(last):
        drawn += f'<line class="grid" x1="0" x2="100%" y1="{down(mark):.1f}" y2="{down(mark):.1f}"/>'
    for number, line in enumerate(series):
        colour, dash = COLOURS[number % 4], DASHES[number % 4]
        if line.band is not None:
            known = [(i, edge) for i, edge in enumerate(line.band) if edge is not None]
            there = [f"{across(i):.2f},{down(edge[1]):.1f}" for i, edge in known]
            back = [f"{across(i):.2f},{down(edge[0]):.1f}" for i, edge in reversed(known)]
            if len(known) > 1:
                shapes += f'<path class="band" d="M{"L".join(there + back)}Z"/>'
            drawn += "".join(
                f'<line stroke="{colour}" stroke-width="2" x1="{across(i):.2f}%" x2="{across(i):.2f}%" y1="{down(edge[0]):.1f}" y2="{down(edge[1]):.1f}"/>'
                for i, edge in known
            )
        places = [(i, value) for i, value in enumerate(line.values) if value is not None]
        if len(places) > 1:
            path = " ".join(f"{across(i):.2f},{down(value):.1f}" for i, value in places)
            style = f' stroke-dasharray="{dash}"' if dash else ""
            shapes += f'<polyline fill="none" stroke="{colour}" stroke-width="{3 if number == 0 else 2}"{style} points="{path}"/>'
        drawn += "".join(
            f'<circle cx="{across(i):.2f}%" cy="{down(value):.1f}" r="{4 if number == 0 else 3}" fill="{colour}"/>'
            for i, value in places
        )
    step = max(1, math.ceil(len(months) / 5))
    first = (len(months) - 1) % step
    for i in range(first, len(months), step):
        # On a phone there is room for the year once, and where it changes.
        label = month(months[i]) if i == first or months[i].endswith("-01") else month(months[i]).split()[0]
        anchor = (
            "end" if i == len(months) - 1 and len(months) > 1 else "start" if i == 0 and len(months) > 1 else "middle"
        )
        drawn += f'<text x="{across(i):.2f}%" y="{height - 5}" text-anchor="{anchor}">{label}</text>'
    scale = "".join(
        f'<text x="40" y="{down(mark) + 4:.1f}" text-anchor="end">{percent(mark)}</text>' for mark in _ticks(last)
    )
    keys = "".join(
        f'<li><svg width="26" height="12" aria-hidden="true"><line x1="1" x2="25" y1="6" y2="6" stroke="{COLOURS[n % 4]}" stroke-width="3"'
        f'{f""" stroke-dasharray="{DASHES[n % 4]}" """ if DASHES[n % 4] else ""}/></svg><span>{text(line.name)}</span></li>'
        for n, line in enumerate(series)
    )
    return (
        f'<ul class="key">{keys}</ul><div class="chart" role="img" aria-label="{text(words)}">'
        f'<svg class="scale" width="44" height="{height}" aria-hidden="true">{scale}</svg>'
        f'<svg class="plot" width="100%" height="{height}" aria-hidden="true">'
        f'<svg width="100%" height="{height}" viewBox="0 0 100 {height}" preserveAspectRatio="none">{shapes}</svg>{drawn}</svg></div>'
    )


def _ticks(last: float) -> list[float]:
    step = next(size for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if last / size <= 5)
    return [step * k for k in range(int(last / step + 1e-9) + 1)]
