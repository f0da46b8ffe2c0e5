"""Small inline charts: a value with its interval beside what was promised, drawn as SVG by hand."""

from __future__ import annotations

import math

HEIGHT = 26
LEFT, RIGHT = 2.0, 98.0  # per cent of the width: the drawing stretches with its card, dots stay round


def interval_chart(
    *, value: float, low: float | None, high: float | None, threshold: float, at_least: bool, bounded: bool, words: str
) -> str:
    """One line: the 90 % interval as a bar, the value as a dot, the promise as a tall tick.

    The side of the tick on which the promise is kept is a thick band, so no colour is needed to read it.
    `bounded` axes run from 0 to 1; others from a little below to a little above all that is shown. `words` is
    the text for those who do not see it; it must be escaped already. Only numbers enter the drawing itself.
    """
    shown = [number for number in (value, low, high, threshold) if number is not None and math.isfinite(number)]
    first, last = (0.0, 1.0) if bounded and min(shown) >= 0 and max(shown) <= 1 else _padded(min(shown), max(shown))

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
    parts.append(f'<line class="promised" x1="{tick:.2f}%" x2="{tick:.2f}%" y1="3" y2="{HEIGHT - 3}" stroke-width="2"/>')
    parts.append(f'<circle class="point" cx="{x(value):.2f}%" cy="{HEIGHT // 2}" r="5"/>')
    return "".join([*parts, "</svg>"])


def _padded(first: float, last: float) -> tuple[float, float]:
    span = (last - first) or abs(last) or 1.0
    return (0.0 if first >= 0 else first - 0.15 * span), last + 0.15 * span


def _line(x1: float, x2: float, kind: str, width: float) -> str:
    middle = HEIGHT // 2
    return (
        f'<line class="{kind}" x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{middle}" y2="{middle}" stroke-width="{width:g}"/>'
    )
