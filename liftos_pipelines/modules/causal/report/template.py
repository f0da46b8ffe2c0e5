"""The HTML of a model's report: one file, no script, nothing fetched. Escaping is on for everything put into it."""

# ruff: noqa: E501 (markup reads better unbroken)

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>Marketing-mix model: {{ client }}, {{ name }}</title>
<style>{{ style }}
.verdict{border-left:6px solid currentColor;border-radius:.3rem;padding:.7rem 1rem;margin:.6rem 0 1rem}
.verdict .lead{margin:.1rem 0 .3rem;font-size:1.6rem;overflow-wrap:anywhere}.verdict p{color:inherit}
.summary{font-size:1.08rem;max-width:52rem;overflow-wrap:anywhere}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;margin:1.2rem 0 0;font-size:.95rem}
nav a{display:inline-block;padding:.2rem 0}
.panel h3{text-transform:none;overflow-wrap:anywhere}.panel .chart{margin:.6rem 0 .2rem}.axis-note{font-size:.9rem}
dl.list{margin:.4rem 0}dl.list div{display:grid;grid-template-columns:minmax(0,15rem) minmax(0,1fr);gap:.1rem 1rem;border-bottom:1px solid var(--line);padding:.3rem 0}
dl.list dt{color:var(--soft)}dl.list dd{margin:0;overflow-wrap:anywhere}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--link)}
td .meaning{display:block;color:var(--soft);font-size:.88rem}td b{overflow-wrap:anywhere}
.panels.small{grid-template-columns:repeat(auto-fit,minmax(min(100%,15.5rem),1fr))}
@media (max-width:40rem){.verdict .lead{font-size:1.3rem}dl.list div{grid-template-columns:1fr}td.number{white-space:normal}}
@media print{nav{display:none}.verdict{border:1px solid currentColor;border-left-width:6px}.chart,.panel,.key{break-inside:avoid}
.panels.small{grid-template-columns:1fr 1fr}}
</style>
</head>
<body>
<main>
<h1>Marketing-mix model of {{ client }}, {{ name }}, report of {{ made }}</h1>
<section class="verdict {{ verdict.tone }}" id="verdict">
<p class="lead">{{ verdict.lead }}</p>
<p>{{ verdict.detail }}</p>
</section>
<p class="summary" id="summary">{{ summary }}</p>
<dl class="facts">
{% for fact in facts %}<div><dt>{{ fact.label }}</dt><dd>{{ fact.value }}</dd><small>{{ fact.note }}</small></div>
{% endfor %}</dl>
<nav aria-label="Contents"><ul>
<li><a href="#fit">Fit</a></li><li><a href="#contributions">Contributions</a></li><li><a href="#returns">Returns</a></li>
<li><a href="#curves">Response curves</a></li><li><a href="#plan">Budget plan</a></li><li><a href="#carry">Carry-over</a></li>
<li><a href="#priors">Priors</a></li><li><a href="#checks">Checks</a></li><li><a href="#data">Data and sampling</a></li>
<li><a href="#limits">Limits</a></li></ul></nav>

<h2 id="fit">Fit: observed and modelled</h2>
{{ fit_chart }}
<p>{{ fit_words }}</p>
{% if geos %}<details><summary>Fit by geo</summary><p class="soft">{{ geo_note }}</p>
<table class="stack"><thead><tr><th>Geo</th><th>Outcome</th><th>wMAPE of the fit</th><th>Weeks in their 90 % band</th></tr></thead><tbody>
{% for row in geos %}<tr><td data-label="Geo">{{ row.geo }}</td><td class="number" data-label="Outcome">{{ row.outcome }}</td><td class="number" data-label="wMAPE of the fit">{{ row.wmape }}</td><td class="number" data-label="Weeks in their 90 % band">{{ row.inside }}</td></tr>
{% endfor %}</tbody></table></details>{% endif %}

<h2 id="contributions">Contributions over time</h2>
<p class="soft">Outcome per week, all geos; the baseline is what would be there without media and treatments. Letters name the wider layers; below zero is what took away.</p>
{{ contribution_chart }}
{% if parts %}<details open><summary>Totals</summary>
<table class="stack"><thead><tr><th>Part</th><th>Kind</th><th>Outcome over all weeks</th><th>Share</th></tr></thead><tbody>
{% for part in parts %}<tr><td data-label="Part"><b>{{ part.name }}</b></td><td data-label="Kind">{{ part.kind }}</td><td class="number" data-label="Outcome over all weeks">{{ part.amount }}</td><td class="number" data-label="Share">{{ part.share }}</td></tr>
{% endfor %}</tbody></table></details>{% endif %}

<h2 id="returns">Return on spend</h2>
<p class="soft">Revenue per {{ currency }} spent, over all weeks of the fit; margins are not in it.</p>
{{ roi_chart }}
{% if money %}<h2>Marginal return</h2>
<p class="soft">Revenue of the next {{ currency }}: one per cent more spend in every week.</p>
{{ mroi_chart }}{% endif %}
<h2>Channels in numbers</h2>
<p class="soft">Mean and 90 % interval. Cost per outcome is spend over the expected incremental outcome.</p>
<div class="scroll"><table class="stack"><thead><tr><th>Channel</th><th>Spend, {{ currency }}</th><th>Contribution, outcome</th><th>ROI</th><th>P(ROI &gt; 1)</th><th>Marginal ROI</th><th>Cost per outcome, {{ currency }}</th></tr></thead><tbody>
{% for row in channels %}<tr><td data-label="Channel"><b>{{ row.name }}</b>{% if row.kind != "paid" %} ({{ row.kind }}){% endif %}</td><td class="number" data-label="Spend, {{ currency }}">{{ row.spend }}</td><td data-label="Contribution, outcome">{{ row.contribution }}</td><td data-label="ROI">{{ row.roi }}</td><td class="number" data-label="P(ROI &gt; 1)">{{ row.above_one }}</td><td data-label="Marginal ROI">{{ row.mroi }}</td><td data-label="Cost per outcome, {{ currency }}">{{ row.cost }}</td></tr>
{% endfor %}</tbody></table></div>

<h2 id="curves">Response curves</h2>
{% if curves %}<p class="soft">Response to a channel's spend, its flighting scaled, at steady state; 90 % band. Each has a scale of its own.</p>
<div class="panels small">
{% for panel in curves %}<section class="panel"><h3>{{ panel.name }}</h3>{{ panel.chart }}<small>{{ panel.words }}</small></section>
{% endfor %}</div>{% else %}<p class="soft">No channel spent anything in the plan's weeks.</p>{% endif %}

<h2 id="plan">Budget plan</h2>
{% if plan %}<p>{{ plan.words }}</p>
{% if plan.beyond %}<p><span class="word warn">! beyond what was observed</span> Part of this plan is an extrapolation.</p>{% endif %}
{{ plan_chart }}
<div class="scroll"><table class="stack"><thead><tr><th>Channel</th><th>Current, {{ currency }}</th><th>Planned, {{ currency }}</th><th>Change</th><th>Bound</th><th>Uplift</th></tr></thead><tbody>
{% for row in plan.rows %}<tr><td data-label="Channel"><b>{{ row.name }}</b></td><td class="number" data-label="Current, {{ currency }}">{{ row.now }}</td><td class="number" data-label="Planned, {{ currency }}">{{ row.planned }}</td><td class="number" data-label="Change">{{ row.change }}</td><td data-label="Bound">{{ row.bound }}</td><td data-label="Uplift">{{ row.uplift }}</td></tr>
{% endfor %}</tbody></table></div>
<p><b>Certificate:</b> {{ plan.certificate }}.</p>{% else %}<p>{{ plan_note or "Nothing was spent in the plan's weeks, so there is nothing to plan." }}</p>{% endif %}

<h2 id="carry">Carry-over</h2>
<p class="soft">Share of an exposure's effect by weeks after it (0 is the week itself); whiskers are 90 % intervals.</p>
<div class="panels small">
{% for panel in carry %}<section class="panel"><h3>{{ panel.name }}</h3>{{ panel.chart }}<small>{{ panel.words }}</small></section>
{% endfor %}</div>

<h2 id="priors">What was assumed, and what the data made of it</h2>
<p class="soft">Dashed with a hollow dot: the prior (median, 90 %). Thick with a full dot: the posterior (mean, 90 %). Where the two are alike the figure is the assumption, not a finding.</p>
{% for group in priors %}<h3>{{ group.on }}</h3>{{ group.chart }}
{% endfor %}

<h2 id="checks">Publish gate: every check</h2>
{% if checks %}<table class="stack"><thead><tr><th>Check</th><th>Status</th><th>Value</th><th>Warns from</th><th>Detail</th></tr></thead><tbody>
{% for check in checks %}<tr><td data-label="Check"><b>{{ check.name }}</b><span class="meaning">{{ check.meaning }}</span></td><td><span class="word {{ check.tone }}">{{ check.word }}</span></td><td class="number" data-label="Value">{{ check.value }}</td><td class="number" data-label="Warns from">{{ check.threshold }}</td><td data-label="Detail">{{ check.detail }}</td></tr>
{% endfor %}</tbody></table>{% else %}<p><span class="word none">? unknown</span> No check of this model is at hand.</p>{% endif %}

<h2 id="data">Data</h2>
<dl class="list">{% for label, value in data.items() %}<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl>
<h2>Sampling</h2>
<dl class="list">{% for label, value in sampling.items() %}<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl>

<h2 id="limits">What the model assumes and cannot say</h2>
<ul>{% for limit in limits %}<li>{{ limit }}</li>
{% endfor %}</ul>

<h2>This model</h2>
<dl class="list">{% for label, value in identity.items() %}<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl>
<details><summary>All settings of the fit</summary><dl class="list">
{% for label, value in settings.items() %}<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl></details>
<footer><p>Intervals are central 90 % intervals of the posterior. Amounts are rounded to three digits; tables hold them in full.</p></footer>
</main>
</body>
</html>
"""
