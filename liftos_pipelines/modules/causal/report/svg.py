"""Charts of the model's report as inline SVG: lines stretch with the page, words keep their size, colours its theme.

Drawn by hand so that one file needs no script and no picture: positions are per cent of the width, curves stand in a
nested drawing that stretches. Colour is never the only sign: layers carry letters, held-out weeks a dashed line.
Every text that comes from data is escaped here.
"""

# ruff: noqa: E501 (a rule of the stylesheet reads better unbroken)

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from liftos_pipelines.modules.causal.engine.transforms import FloatArray

SERIES = ("#2f78b7", "#c2621d", "#2c8a57", "#9160c4", "#b8860b", "#c54f76", "#178b98", "#8a6d4b")
REST, BASE = "#6b7d8f", "#8390a0"
"""Every fill has at least 3:1 against the page in light and in dark; held by test."""
TOP, BOTTOM = 10, 22
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NBSP = "\u00a0"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

STYLE = f"""
.chart{{display:flex;gap:.3rem;margin:.5rem 0;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.chart .plot{{flex:1 1 0;min-width:0;overflow:visible}}.chart .scale{{flex:none}}
.chart text,.rows text{{fill:var(--soft);font-size:12px}}.chart .mark text{{fill:var(--ink);font-weight:600;font-size:10px}}
.grid{{stroke:var(--line);stroke-width:1}}.chart path,.chart polyline{{vector-effect:non-scaling-stroke}}
.band{{fill:{SERIES[0]};opacity:.3}}.heldband{{fill:{SERIES[1]};opacity:.3}}
.middle{{fill:none;stroke:{SERIES[0]};stroke-width:2}}.heldmiddle{{fill:none;stroke:{SERIES[1]};stroke-width:2;stroke-dasharray:5 3}}
.observed{{fill:var(--ink)}}.held{{fill:var(--nonebg);opacity:.55}}.beyond{{fill:var(--nonebg)}}
.unseen{{fill:var(--soft);opacity:.25}}.unseenline{{fill:none;stroke:var(--soft);stroke-width:2;stroke-dasharray:2 3}}
.now{{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:3 3}}.layer{{stroke:var(--card);stroke-width:.35}}
.mark circle{{fill:var(--card);stroke:var(--soft)}}
.key{{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:.2rem 0 .4rem;padding:0;list-style:none;font-size:.9rem}}
.key li{{display:flex;gap:.4rem;align-items:center;overflow-wrap:anywhere}}.key svg{{flex:none}}
.rows{{margin:.5rem 0;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.rows .row{{display:grid;grid-template-columns:minmax(6rem,11rem) minmax(0,1fr) minmax(11rem,17rem);gap:0 .9rem;align-items:center;
border-top:1px solid var(--line);padding:.15rem 0;break-inside:avoid}}
.rows .name{{font-weight:600;overflow-wrap:anywhere}}.rows .numbers{{font-size:.92rem;font-variant-numeric:tabular-nums}}
.rows svg{{display:block;width:100%;overflow:visible}}.rows .foot{{border-top:1px solid var(--line)}}
.post{{stroke:{SERIES[0]};stroke-width:6}}.postdot{{fill:var(--ink)}}
.prior{{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:4 3}}.priordot{{fill:var(--card);stroke:var(--soft);stroke-width:1.5}}
.ref{{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}}
.was{{fill:var(--card);stroke:var(--soft);stroke-width:1.2}}.will{{fill:{SERIES[0]}}}.whisker{{stroke:var(--ink);stroke-width:1.5}}
@media (max-width:40rem){{.layer{{stroke:none}}.rows .row{{grid-template-columns:1fr;padding:.45rem 0}}}}
@media print{{.rows .row{{grid-template-columns:9rem minmax(0,1fr) 13rem}}}}
"""


def amount(number: float | None) -> str:
    """A number that a reader can hold: 0.042, 2.91, 1,250, 83.4 k, 12.5 M, 3.10 bn; `unknown` for what is none.

    Three significant digits, two below 1; no exponent.
    """
    if number is None or not math.isfinite(number):
        return "unknown"
    size = abs(number)
    for unit, name in ((1e9, f"{NBSP}bn"), (1e6, f"{NBSP}M"), (1e3, f"{NBSP}k")):
        if size >= 0.9995 * unit and (unit > 1e3 or size >= 2e4):
            return f"{_digits(number / unit)}{name}"
    return f"{number:,.0f}" if size >= 999.5 else _digits(number)


def _digits(number: float) -> str:
    size = abs(number)
    if size < 1e-9:
        return "0"
    kept = float(f"{number:.2e}" if size >= 1 else f"{number:.1e}")
    top = math.floor(math.log10(abs(kept)))
    return f"{kept:,.{min(max((2 if abs(kept) >= 1 else 1) - top, 0), 10)}f}"


def tick(number: float) -> str:
    """An amount on an axis: no zeros at its end."""
    digits, gap, unit = amount(number).partition(NBSP)
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + gap + unit


def percent(share: float | None, signed: bool = False) -> str:
    """A share in per cent; one decimal below ten."""
    if share is None or not math.isfinite(share):
        return "unknown"
    number = round(100 * share, 1) + 0.0  # no minus zero
    digits = 0 if abs(number) >= 10 or number == 0 else 1
    return f"{number:{'+' if signed and number else ''}.{digits}f}{NBSP}%"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers from `low` to `high`."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if raw <= power * m * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def text(words: str) -> str:
    return html.escape(words, quote=True)


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A drawing's axes: positions across in per cent, down in pixels."""

    left: float
    right: float
    low: float
    high: float
    height: int = 260

    @property
    def inner(self) -> int:
        return self.height - TOP - BOTTOM

    def across(self, x: float) -> float:
        return 100 * (x - self.left) / ((self.right - self.left) or 1)

    def down(self, y: float) -> float:
        return TOP + self.inner * (self.high - y) / ((self.high - self.low) or 1)

    def line(self, x: Sequence[float] | FloatArray, y: FloatArray, kind: str) -> str:
        return f'<polyline class="{kind}" points="{self._points(x, y)}"/>'

    def area(
        self, x: Sequence[float] | FloatArray, low: FloatArray, high: FloatArray, kind: str, fill: str = ""
    ) -> str:
        there, back = self._points(x, high), self._points(np.asarray(x)[::-1], np.asarray(low)[::-1])
        paint = f' fill="{fill}"' if fill else ""
        return f'<path class="{kind}"{paint} d="M{there.replace(" ", "L")}L{back.replace(" ", "L")}Z"/>'

    def _points(self, x: Sequence[float] | FloatArray, y: FloatArray) -> str:
        return " ".join(f"{10 * self.across(a):.1f},{self.down(b) - TOP:.1f}" for a, b in zip(x, y, strict=True))

    def stretched(self, parts: Sequence[str]) -> str:
        return (
            f'<svg x="0" y="{TOP}" width="100%" height="{self.inner}" viewBox="0 0 1000 {self.inner}" '
            f'preserveAspectRatio="none">{"".join(parts)}</svg>'
        )

    def dots(self, x: Sequence[float], y: FloatArray, kind: str, radius: float = 2) -> str:
        return "".join(
            f'<circle class="{kind}" cx="{self.across(a):.2f}%" cy="{self.down(b):.1f}" r="{radius:g}"/>'
            for a, b in zip(x, y, strict=True)
        )

    def upright(self, x: float, kind: str) -> str:
        place = f"{self.across(x):.2f}%"
        return f'<line class="{kind}" x1="{place}" x2="{place}" y1="{TOP}" y2="{TOP + self.inner}"/>'

    def shade(self, start: float, end: float, kind: str) -> str:
        width = self.across(end) - self.across(start)
        return (
            f'<rect class="{kind}" x="{self.across(start):.2f}%" y="{TOP}" width="{width:.2f}%" height="{self.inner}"/>'
        )

    def drawn(self, parts: Sequence[str], labels: Sequence[tuple[float, str]], words: str) -> str:
        """The whole chart; `labels` below the axis at their place, `words` for those who do not see it."""
        marks = ticks(self.low, self.high)
        scale = "".join(
            f'<text x="50" y="{self.down(mark) + 4:.1f}" text-anchor="end">{tick(mark)}</text>' for mark in marks
        )
        grid = "".join(
            f'<line class="grid" x1="0" x2="100%" y1="{self.down(mark):.1f}" y2="{self.down(mark):.1f}"/>'
            for mark in marks
        )
        below = ""
        for x, label in labels:
            place = self.across(x)
            # At the left there is room under the scale; at the right a long label would stand out of the page.
            anchor = "end" if len(label) > 2 and place > 94 else "middle"
            below += f'<text x="{place:.2f}%" y="{self.height - 5}" text-anchor="{anchor}">{text(label)}</text>'
        return (
            f'<div class="chart" role="img" aria-label="{text(words)}">'
            f'<svg class="scale" width="54" height="{self.height}" aria-hidden="true">{scale}</svg>'
            f'<svg class="plot" width="100%" height="{self.height}" aria-hidden="true">'
            f"{grid}{''.join(parts)}{below}</svg></div>"
        )


def date_ticks(weeks: Sequence[date], most: int = 5) -> list[tuple[float, str]]:
    """Starts of months, evenly apart, at most `most`, with the year."""
    first, last = weeks[0], weeks[-1]
    for step in (1, 2, 3, 6, 12, 24, 60):
        found = []
        for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
            day = date(month // 12, month % 12 + 1, 1)
            if month % step == 0 and first <= day <= last:
                found.append((float(day.toordinal()), f"{MONTHS[day.month - 1]} {day.year}"))
        if len(found) <= most:
            return found or [(float(first.toordinal()), first.isoformat())]
    return [(float(first.toordinal()), first.isoformat())]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a forest; `prior` is low, middle, high."""

    name: str
    mean: float
    low: float
    high: float
    numbers: str
    prior: tuple[float, float, float] | None = None


def forest(rows: Sequence[Row], words: str, reference: float | None = None) -> str:
    """Means as dots on their 90 % intervals, priors as hollow dots on dashed lines above, one axis for all."""
    ends = [reference] if reference is not None else []
    last = max([*(row.high for row in rows), *ends, 0.0])
    first = min([*(row.low for row in rows), *ends, 0.0])
    last += 0.04 * (last - first) or 1.0

    def x(number: float) -> float:
        return min(max(100 * (number - first) / (last - first), 0.0), 100.0)

    def bar(low: float, high: float, y: int, kind: str) -> str:
        return f'<line class="{kind}" x1="{x(low):.2f}%" x2="{x(high):.2f}%" y1="{y}" y2="{y}"/>'

    out = []
    for row in rows:
        height, y = (34, 23) if row.prior else (26, 13)
        drawn = ""
        if reference is not None:
            drawn += f'<line class="ref" x1="{x(reference):.2f}%" x2="{x(reference):.2f}%" y1="0" y2="{height}"/>'
        if row.prior is not None:
            drawn += bar(row.prior[0], row.prior[2], 9, "prior")
            if row.prior[1] <= last:
                drawn += f'<circle class="priordot" cx="{x(row.prior[1]):.2f}%" cy="9" r="4"/>'
            if row.prior[2] > last:
                drawn += '<text x="100%" y="13" text-anchor="end">›</text>'
        drawn += bar(row.low, row.high, y, "post")
        drawn += f'<circle class="postdot" cx="{x(row.mean):.2f}%" cy="{y}" r="5"/>'
        out.append(
            f'<div class="row"><span class="name">{text(row.name)}</span>'
            f'<svg height="{height}" role="img" aria-label="{text(f"{row.name}: {row.numbers}")}">{drawn}</svg>'
            f'<span class="numbers">{text(row.numbers)}</span></div>'
        )
    axis = ""
    for mark in ticks(first, last):
        place = x(mark)
        anchor = "start" if place < 3 else "end" if place > 97 else "middle"
        axis += f'<text x="{place:.2f}%" y="14" text-anchor="{anchor}">{tick(mark)}</text>'
    foot = f'<div class="row foot" aria-hidden="true"><span></span><svg height="18">{axis}</svg><span></span></div>'
    return f'<div class="rows" role="group" aria-label="{text(words)}">{"".join(out)}{foot}</div>'


def pairs(rows: Sequence[tuple[str, float, float, str]], words: str) -> str:
    """Two bars a row, what was (hollow) above what is planned (filled): name, was, will, numbers."""
    most = max([*(max(row[1], row[2]) for row in rows), 1e-12])
    out = []
    for name, was, will, numbers in rows:
        bars = "".join(
            f'<rect class="{kind}" x="0" y="{y}" width="{100 * size / most:.2f}%" height="11"/>'
            for kind, y, size in (("was", 3, was), ("will", 18, will))
        )
        out.append(
            f'<div class="row"><span class="name">{text(name)}</span>'
            f'<svg height="33" role="img" aria-label="{text(f"{name}: {numbers}")}">{bars}</svg>'
            f'<span class="numbers">{text(numbers)}</span></div>'
        )
    return f'<div class="rows" role="group" aria-label="{text(words)}">{"".join(out)}</div>'


def lag_bars(weight: FloatArray, low: FloatArray, high: FloatArray, words: str) -> str:
    """Weights of the lags as bars from the week itself on, with whiskers."""
    plane = Plane(left=0, right=len(weight), low=0.0, high=max(float(np.max(high)), 0.05), height=150)
    parts, labels = [], []
    skip = 1 if len(weight) <= 10 else 2 if len(weight) <= 18 else 4
    for lag, (w, a, b) in enumerate(zip(weight, low, high, strict=True)):
        y, middle = plane.down(w), plane.across(lag + 0.5)
        parts.append(
            f'<rect class="will" x="{plane.across(lag + 0.18):.2f}%" y="{y:.1f}" '
            f'width="{plane.across(0.64):.2f}%" height="{plane.down(0) - y:.1f}"/>'
            f'<line class="whisker" x1="{middle:.2f}%" x2="{middle:.2f}%" y1="{plane.down(a):.1f}" y2="{plane.down(b):.1f}"/>'
        )
        if lag % skip == 0:
            labels.append((lag + 0.5, str(lag)))
    return plane.drawn(parts, labels, words)


def letter(position: int) -> str:
    return LETTERS[position % len(LETTERS)]


def key(entries: Sequence[tuple[str, str]]) -> str:
    """A legend: each entry a small drawing (inner SVG of 22 x 14) and words."""
    items = "".join(
        f'<li><svg width="22" height="14" aria-hidden="true">{mark}</svg><span>{text(words)}</span></li>'
        for mark, words in entries
    )
    return f'<ul class="key">{items}</ul>'
