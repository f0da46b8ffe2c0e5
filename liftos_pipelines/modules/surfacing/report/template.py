"""The HTML of the visibility report: one file, no script, nothing fetched. Escaping is on for everything put into it."""

# ruff: noqa: E501 (markup reads better unbroken)

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>AI visibility of {{ brand }}</title>
<style>{{ style }}
.summary{font-size:1.08rem;max-width:52rem;padding-left:1.2rem}.summary li{margin:.3rem 0;overflow-wrap:anywhere}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;margin:1.2rem 0 0;font-size:.95rem}
nav a{display:inline-block;padding:.2rem 0}
h3{text-transform:none;overflow-wrap:anywhere;margin-top:1.1rem}.panel h3{margin-top:0}
.heat td.p{background:color-mix(in srgb,#2f78b7 calc(var(--p)*45%),transparent);text-align:right;white-space:nowrap;min-width:3.2rem;padding:.4rem .5rem;font-variant-numeric:tabular-nums}
.heat th.k{text-align:right;padding:.4rem .5rem}.heat tr.own td:first-child{font-weight:700}.heat td:first-child{min-width:8rem}
@media (max-width:40rem){td.number{white-space:normal}}
@media print{nav{display:none}.chart,.key{break-inside:avoid}.heat td.p{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
</style>
</head>
<body>
<main>
<h1>Visibility of {{ brand }} in AI answers, report of {{ made }}</h1>
<p class="lead">{{ lead }}</p>
<ul class="summary">{% for sentence in summary %}<li>{{ sentence }}</li>
{% endfor %}</ul>
<dl class="facts">{% for fact in facts %}<div><dt>{{ fact.label }}</dt><dd>{{ fact.value }}</dd><small>{{ fact.note }}</small></div>
{% endfor %}</dl>
<nav aria-label="Contents"><ul><li><a href="#rates">Who is named</a></li><li><a href="#ranks">Ranks</a></li><li><a href="#time">Over time</a></li><li><a href="#measures">All measures</a></li><li><a href="#gap">The gap</a></li><li><a href="#prompts">Prompts without us</a></li><li><a href="#sources">Sources</a></li><li><a href="#shifts">Detected changes</a></li><li><a href="#panel">The panel</a></li><li><a href="#limits">Limits</a></li></ul></nav>

<h2 id="rates">Who is named how often{% if period %}, {{ period }}{% endif %}</h2>
{% if rates %}<p class="soft">Share of answers that name a brand, over all engines: mean and 90 % interval of a model that knows that answers to one prompt resemble each other.</p>
{{ rates }}
{% for panel in engines %}<details><summary>{{ panel.name }}</summary>{{ panel.chart }}</details>
{% endfor %}{% else %}<p>No engine was asked two prompts in a month, so there is no rate with an interval.</p>{% endif %}

<h2 id="ranks">How sure the ranking is</h2>
{% if heat %}<p class="soft">Probability of each rank by mention rate, over all engines. A ranking without these figures would claim more than {{ prompts }} prompts can show.</p>
<div class="scroll"><table class="heat"><thead><tr><th>Brand</th>{% for k in heat.ranks %}<th class="k">{{ k }}</th>{% endfor %}</tr></thead><tbody>
{% for row in heat.rows %}<tr class="{{ 'own' if row.own else '' }}"><td>{{ row.name }}</td>{% for cell in row.cells %}<td class="p" style="--p:{{ cell.p }}">{{ cell.text }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% if pairs %}<h3>{{ brand }} against each</h3>
<table class="stack"><thead><tr><th>Competitor</th><th>Probability that {{ brand }} is named more often</th><th>Difference, points</th></tr></thead><tbody>
{% for row in pairs %}<tr><td data-label="Competitor"><b>{{ row.other }}</b></td><td class="number" data-label="Probability that {{ brand }} is named more often">{{ row.chance }}</td><td class="number" data-label="Difference, points">{{ row.difference }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% for sentence in stability %}<p>{{ sentence }}</p>
{% endfor %}{% else %}<p class="soft">Nothing to rank.</p>{% endif %}

<h2 id="time">Over time</h2>
{% if trends %}<p class="soft">Mention rate by month; the band and the bars are {{ brand }}'s 90 % interval.</p>
<div class="panels">{% for panel in trends %}<section class="panel"><h3>{{ panel.name }}</h3>{{ panel.chart }}</section>
{% endfor %}</div>{% else %}<p class="soft">No month was measured yet.</p>{% endif %}
{% if changes %}<h3>Changes on the same prompts</h3>
<p class="soft">Mention rate over all engines, points, with 90 % intervals.</p>
<table class="stack"><thead><tr><th>Brand</th><th>Since last month</th><th>Since last quarter</th><th>Slope a month</th></tr></thead><tbody>
{% for row in changes %}<tr><td data-label="Brand">{% if row.own %}<b>{{ row.brand }}</b>{% else %}{{ row.brand }}{% endif %}</td><td class="number" data-label="Since last month">{{ row.change }}</td><td class="number" data-label="Since last quarter">{{ row.quarter }}</td><td class="number" data-label="Slope a month">{{ row.slope }}</td></tr>
{% endfor %}</tbody></table>{% endif %}

<h2 id="measures">All measures of {{ brand }}</h2>
{% if measures %}<table class="stack"><thead><tr><th>Measure</th><th>Value</th><th>90 % interval</th><th>Best competitor</th></tr></thead><tbody>
{% for row in measures %}<tr><td data-label="Measure"><b>{{ row.name }}</b> <small>{{ row.definition }}</small></td><td class="number" data-label="Value">{{ row.value }}</td><td class="number" data-label="90 % interval">{{ row.interval }}</td><td data-label="Best competitor">{{ row.best }}</td></tr>
{% endfor %}</tbody></table>{% else %}<p class="soft">No measure yet.</p>{% endif %}
{% if groups %}<h3>By kind of prompt</h3><p class="soft">Mention rate over all engines.</p>
<table class="stack"><thead><tr><th>Prompts</th><th>{{ brand }}</th><th>Best competitor</th><th>Number of prompts</th></tr></thead><tbody>
{% for row in groups %}<tr><td data-label="Prompts"><b>{{ row.name }}</b></td><td class="number" data-label="{{ brand }}">{{ row.own }}</td><td data-label="Best competitor">{{ row.best }}</td><td class="number" data-label="Number of prompts">{{ row.prompts }}</td></tr>
{% endfor %}</tbody></table>{% endif %}

<h2 id="gap">Where the gap lies</h2>
{% if gaps %}<p class="soft">{{ brand }} minus {{ rival }}, in points of the mention rate over all engines. The parts of each split add up to {{ gap_total }} points; whiskers are 90 % intervals. Left takes away, right adds.</p>
{% for split in gaps %}<h3>{{ split.name }}</h3>{{ split.chart }}
{% endfor %}{% for split in listed %}<h3>{{ split.name }}</h3><p class="soft">By what happens to {{ brand }} instead, more often than to the competitor.</p>{{ split.chart }}
{% endfor %}{% else %}<p class="soft">There is no competitor to compare with.</p>{% endif %}

<h2 id="prompts">Prompts where competitors stand without us</h2>
{% if prompt_rows %}<p class="soft">{{ prompt_note }}</p>
<table class="stack"><thead><tr><th>Prompt</th><th>{{ brand }}</th><th>Leading competitor</th><th>Answers</th></tr></thead><tbody>
{% for row in prompt_rows %}<tr><td data-label="Prompt">{{ row.prompt }}</td><td class="number" data-label="{{ brand }}">{{ row.own }}</td><td data-label="Leading competitor">{{ row.rival }}</td><td class="number" data-label="Answers">{{ row.answers }}</td></tr>
{% endfor %}</tbody></table>{% else %}<p class="soft">None in the newest month.</p>{% endif %}

<h2 id="sources">Sources of answers that name competitors only</h2>
{% if source_rows %}<p class="soft">Share of those answers that cite the domain, with a 90 % interval, and the share of the answers naming {{ brand }} that do. Similar shares mean that the source makes no difference.</p>
<table class="stack"><thead><tr><th>Domain</th><th>Without {{ brand }}</th><th>With {{ brand }}</th><th>Answers</th></tr></thead><tbody>
{% for row in source_rows %}<tr><td data-label="Domain"><b>{{ row.domain }}</b>{% if row.owner %} <small>of {{ row.owner }}</small>{% endif %}</td><td class="number" data-label="Without {{ brand }}">{{ row.share }}</td><td class="number" data-label="With {{ brand }}">{{ row.named }}</td><td class="number" data-label="Answers">{{ row.answers }}</td></tr>
{% endfor %}</tbody></table>{% else %}<p class="soft">No citation of such an answer is recorded.</p>{% endif %}

<h2 id="shifts">Detected changes</h2>
{% if shift_rows %}<table class="stack"><thead><tr><th>Detected</th><th>Engine</th><th>What</th><th>Brand</th><th>p</th></tr></thead><tbody>
{% for row in shift_rows %}<tr><td class="number" data-label="Detected">{{ row.day }}</td><td data-label="Engine">{{ row.engine }}</td><td data-label="What">{{ row.what }}</td><td data-label="Brand">{{ row.brand }}</td><td class="number" data-label="p">{{ row.p }}</td></tr>
{% endfor %}</tbody></table>{% else %}<p class="soft">None was detected.</p>{% endif %}

<h2 id="panel">What the panel of prompts can see</h2>
{% for sentence in panel %}<p>{{ sentence }}</p>
{% endfor %}

<h2 id="limits">What this page cannot say</h2>
<ul>{% for limit in limits %}<li>{{ limit }}</li>
{% endfor %}</ul>
<footer><p>Intervals are 90 % intervals. Tables hold all figures in full: liftos show {{ client }} surfacing/visibility_posterior, surfacing/benchmark, surfacing/gap_decomposition, surfacing/prompt_gaps, surfacing/source_gaps.</p></footer>
</main>
</body>
</html>
"""
