"""An explanation as a picture and as a page of one file: no script, nothing fetched, readable on a phone and on paper."""

# ruff: noqa: E501 (a rule reads better unbroken)

from __future__ import annotations

from html import escape

from liftos_pipelines.page_style import STYLE
from liftos_pipelines.spine.explanation import Explanation, Stage

TONE = {"ok": "good", "waiting": "warn", "denied": "bad", "failed": "bad", "unknown": "warn", "none": "none"}
WORDS = {"ok": "known", "waiting": "open", "denied": "denied", "failed": "failed", "unknown": "unknown", "none": "none"}
MARK = {"ok": "✓", "waiting": "…", "denied": "✕", "failed": "!", "unknown": "?", "none": "–"}
WIDTH, ROW, LEFT, RADIUS = 340, 62, 26, 13
LETTERS = 40
"""Letters that fit a line of the picture."""

OWN = """
.why{display:grid;grid-template-columns:minmax(16rem,22rem) minmax(0,1fr);gap:2rem;align-items:start;margin-top:1.4rem}
.why figure{margin:0;position:sticky;top:1rem}
.why svg{display:block;width:100%;height:auto;max-width:26rem}
.why a{text-decoration:none}
.why svg .name{fill:var(--ink);font-size:14px;font-weight:600}.why svg .short{fill:var(--soft);font-size:12.5px}
.why svg .line{stroke:var(--line);stroke-width:2}
.why svg .good{fill:var(--goodbg);stroke:var(--good)}.why svg .bad{fill:var(--badbg);stroke:var(--bad)}
.why svg .warn{fill:var(--warnbg);stroke:var(--warn)}.why svg .none{fill:var(--nonebg);stroke:var(--none)}
.why svg text.good{fill:var(--good)}.why svg text.bad{fill:var(--bad)}.why svg text.warn{fill:var(--warn)}.why svg text.none{fill:var(--none)}
.why svg text.mark{stroke:none;font-size:14px;font-weight:700;text-anchor:middle}
.stage{border-top:1px solid var(--line);padding:.7rem 0}
.stage header{display:flex;gap:.6rem;align-items:center;justify-content:space-between;flex-wrap:wrap}
.stage h2{margin:0;font-size:1.05rem}
.stage ul{margin:.3rem 0 0;padding-left:1.1rem}.stage li{margin:.15rem 0;overflow-wrap:anywhere}
.stage li.within{list-style:none;color:var(--soft);margin-left:.4rem}
.lead{overflow-wrap:anywhere;font-size:1.5rem}
@media (max-width:52rem){.why{grid-template-columns:minmax(0,1fr);gap:1rem}.why figure{position:static}.lead{font-size:1.25rem}}
@media print{.why{grid-template-columns:15rem minmax(0,1fr)}.why figure{position:static}.stage{break-inside:avoid}}
"""


def explanation_page(found: Explanation) -> str:
    """The whole page: the sentence, the picture, and every stage in words."""
    action = found.action_id or "no action id"
    missing = "".join(f"<p>Not read: {escape(each)}</p>" for each in found.missing)
    state = "Nothing is open." if found.complete else "What is open or unknown is named in its place."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Why: {escape(action)}</title><style>{STYLE}{OWN}</style></head><body><main>"
        f"<h1>{escape(found.client)} · action {escape(action)}</h1>"
        f'<p class="lead">{escape(found.sentence)}</p><p class="soft">{state}</p>'
        f'<div class="why"><figure>{explanation_svg(found)}</figure><div>{"".join(map(_section, found.stages))}</div></div>'
        f"<footer>{missing}<p>Verify: <code>liftos ledger verify {escape(found.client)}</code></p></footer>"
        "</main></body></html>"
    )


def explanation_svg(found: Explanation) -> str:
    """The chain as a picture, top to bottom; colours come from the page's stylesheet, each with its sign beside."""
    height = ROW * len(found.stages)
    told = "; ".join(f"{stage.title}: {WORDS[stage.status]}, {stage.short}" for stage in found.stages)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(told)}" xmlns="http://www.w3.org/2000/svg">',
        f'<line class="line" x1="{LEFT}" y1="{ROW / 2}" x2="{LEFT}" y2="{height - ROW / 2}"/>',
    ]
    for place, stage in enumerate(found.stages):
        middle = ROW * place + ROW / 2
        tone = TONE[stage.status]
        parts.append(
            f'<a href="#{stage.name}"><circle class="{tone}" cx="{LEFT}" cy="{middle}" r="{RADIUS}" stroke-width="2"/>'
            f'<text class="mark {tone}" x="{LEFT}" y="{middle + 5}">{MARK[stage.status]}</text>'
            f'<text class="name" x="{LEFT + 26}" y="{middle - 3}">{escape(stage.title)}</text>'
            f'<text class="short" x="{LEFT + 26}" y="{middle + 15}">{escape(_fit(stage.short))}</text></a>'
        )
    return "".join(parts) + "</svg>"


def _fit(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _section(stage: Stage) -> str:
    when = f" <small>{stage.at:%Y-%m-%d %H:%M} UTC</small>" if stage.at else ""
    lines = "".join(
        f'<li class="within">{escape(line.strip())}</li>' if line.startswith("  ") else f"<li>{escape(line)}</li>"
        for line in stage.lines
    )
    return (
        f'<section class="stage" id="{stage.name}"><header><h2>{escape(stage.title)}{when}</h2>'
        f'<span class="word {TONE[stage.status]}">{escape(WORDS[stage.status])}</span></header><ul>{lines}</ul></section>'
    )
