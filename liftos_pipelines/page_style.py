"""The look that all pages of LiftOS share: one stylesheet, light, dark and on paper; every text pair has AA contrast.
And how a picture stands in the metadata of an asset.

Pages are single files: no script, nothing fetched. A page may add rules of its own after these.
"""

# ruff: noqa: E501 (a rule reads better unbroken)

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root{--ground:#fff;--card:#f6f7f9;--ink:#16191d;--soft:#4a525c;--line:#c9ced6;
--good:#1b5e20;--goodbg:#e4f3e5;--bad:#8a1616;--badbg:#fde8e6;--warn:#6a4500;--warnbg:#fff1d6;
--none:#3f4650;--nonebg:#e6e8ec;--link:#0b4f9e}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1d2127;--ink:#eceff3;--soft:#b4bcc7;
--line:#444c57;--good:#a5dba8;--goodbg:#17351a;--bad:#ffb4ab;--badbg:#43191a;--warn:#ffd58a;--warnbg:#3d2d0c;
--none:#cfd5dd;--nonebg:#2d333b;--link:#9cc7ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Noto Sans",sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1.25rem 3rem}
h1{font-size:1.05rem;font-weight:600;color:var(--soft);margin:0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2.2rem 0 .7rem}
h3{font-size:1rem;margin:0;text-transform:capitalize}
p{margin:.35rem 0}
a{color:var(--link)}
.lead{font-size:1.9rem;line-height:1.2;font-weight:650;margin:.4rem 0 .6rem;letter-spacing:-.01em}
.soft,small{color:var(--soft)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:1.2rem 0 0;padding:0}
.facts div{border-top:3px solid var(--line);padding:.45rem 0}
.facts dt{color:var(--soft);font-size:.86rem}
.facts dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
.word{display:inline-block;padding:.08rem .55rem;border-radius:1rem;font-size:.86rem;font-weight:600;white-space:nowrap}
.good{color:var(--good);background:var(--goodbg)}.bad{color:var(--bad);background:var(--badbg)}
.warn{color:var(--warn);background:var(--warnbg)}.none{color:var(--none);background:var(--nonebg)}
ol.reasons{padding-left:1.4rem;margin:0}ol.reasons li{margin:.5rem 0;overflow-wrap:anywhere}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:1rem;align-items:start}
.panel{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1rem}
.panel header{display:flex;gap:.6rem;align-items:center;justify-content:space-between;flex-wrap:wrap}
.promise{border-top:1px solid var(--line);margin-top:.7rem;padding-top:.6rem}
.promise .top{display:flex;gap:.5rem;justify-content:space-between;align-items:baseline;flex-wrap:wrap}
.promise b{overflow-wrap:anywhere}
.promise svg{display:block;width:100%;height:34px;margin:.25rem 0 .1rem}
.promise .numbers{font-variant-numeric:tabular-nums;font-size:.92rem}
.promise small{display:block;overflow-wrap:anywhere}
.range{stroke:var(--soft)}.promised{stroke:var(--ink)}.axis{stroke:var(--line)}.point{fill:var(--ink)}
.label{fill:var(--soft);font-size:10.5px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
td{overflow-wrap:anywhere;min-width:6.5rem}
td.cause{min-width:10rem}td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
footer{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:.8rem;font-size:.88rem;color:var(--soft)}
@media (max-width:40rem){main{padding:1rem .9rem 2rem}.lead{font-size:1.45rem}.facts dd{font-size:1.15rem}
table.stack thead{position:absolute;left:-999rem}table.stack tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
table.stack td{display:block;border:0;padding:.08rem 0;white-space:normal}
table.stack td[data-label]::before{content:attr(data-label) ": ";color:var(--soft)}}
@media print{:root{--ground:#fff;--card:#fff;--ink:#000;--soft:#333;--line:#999;--good:#1b5e20;--goodbg:#fff;
--bad:#8a1616;--badbg:#fff;--warn:#6a4500;--warnbg:#fff;--none:#333;--nonebg:#fff;--link:#000}
body{font-size:10pt}main{max-width:none;padding:0}.panel,.promise,tr,li{break-inside:avoid}h2{break-after:avoid}
.word{border:1px solid currentColor}.panels{grid-template-columns:1fr 1fr}@page{margin:14mm}}
"""


def markdown_image(figure: Figure, title: str, dpi: int = 80) -> str:
    """A Markdown image that holds the picture itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
