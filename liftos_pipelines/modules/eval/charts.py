"""Small inline charts: a value with its interval beside what was promised, drawn as SVG by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

HEIGHT, MIDDLE = 34, 12
LEFT, RIGHT = 2.0, 98.0  # per cent of the width: the drawing stretches with its card, dots stay round


def interval_chart(
    *,
    value: float,
    low: float | None,
    high: float | None,
    threshold: float,
    at_least: bool,
    bounded: bool,
    words: str,
    label: Callable[[float], str],
) -> str:
    """One line: the 90 % interval as a bar, the value as a dot, the promise as a tall tick.

    The side of the tick on which the promise is kept is a thick band, so no colour is needed to read it.
    The axis runs from a little below to a little above all that is shown (within 0 to 1 if `bounded`); its ends
    are written below it by `label`. `words` is the text for those who do not see it. Both must be escaped.
    """
    shown = [number for number in (value, low, high, threshold) if number is not None and math.isfinite(number)]
    first, last = _ends(min(shown), max(shown), bounded)

    def x(number: float) -> float:
        return LEFT + (number - first) / (last - first) * (RIGHT - LEFT)

    tick = x(threshold)
    parts = [
        f'<svg height="{HEIGHT}" width="100%" role="img" aria-label="{words}">',
        _line(LEFT, RIGHT, "axis", 1),
        _line(*((tick, RIGHT) if at_least else (LEFT, tick)), "axis", 12),
    ]
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        parts.append(_line(x(low), x(high), "range", 4))
    parts.append(
        f'<line class="promised" x1="{tick:.2f}%" x2="{tick:.2f}%" y1="2" y2="{2 * MIDDLE - 2}" stroke-width="2"/>'
    )
    parts.append(f'<circle class="point" cx="{x(value):.2f}%" cy="{MIDDLE}" r="5"/>')
    for end, anchor, number in ((LEFT, "start", first), (RIGHT, "end", last)):
        parts.append(f'<text class="label" x="{end}%" y="{HEIGHT - 1}" text-anchor="{anchor}">{label(number)}</text>')
    return "".join([*parts, "</svg>"])


def _ends(first: float, last: float, bounded: bool) -> tuple[float, float]:
    span = (last - first) or abs(last) or 1.0
    begin, end = first - 0.6 * span, last + 0.6 * span
    if bounded and first >= 0 and last <= 1:
        return max(0.0, begin), min(1.0, end)
    return (max(0.0, begin) if first >= 0 else begin), end


def _line(x1: float, x2: float, kind: str, width: float) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{MIDDLE}" y2="{MIDDLE}" stroke-width="{width:g}"/>'
