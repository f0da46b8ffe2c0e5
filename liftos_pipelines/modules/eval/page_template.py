"""The trust pulse's HTML: one file, no script, nothing fetched. Escaping is on for everything put into it."""

# ruff: noqa: E501 (markup reads better unbroken)

from __future__ import annotations

from liftos_pipelines.page_style import STYLE

__all__ = ["PAGE", "STYLE"]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>Trust pulse: {{ client }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<h1>Trust pulse of {{ client }}, {{ made }}</h1>
<p class="lead">{{ status }}</p>
<p>{{ detail }}</p>
<dl class="facts">
{% for fact in facts %}<div><dt>{{ fact.label }}</dt><dd>{{ fact.value }}</dd><small>{{ fact.note }}</small></div>
{% endfor %}</dl>

<h2>Main reasons</h2>
{% if reasons %}<ol class="reasons">
{% for reason in reasons %}<li><span class="word {{ reason.tone }}">{{ reason.word }}</span> {{ reason.text }}
<a href="{{ reason.link }}">{{ reason.table }}</a></li>
{% endfor %}</ol>{% else %}<p class="soft">No promise is defined, so there is nothing to report.</p>{% endif %}

<h2>Modules</h2>
<div class="panels">
{% for panel in panels %}<section class="panel">
<header><h3>{{ panel.name }}</h3><span class="word {{ panel.tone }}">{{ panel.word }}</span></header>
<p>{{ panel.summary }}</p>
{% for promise in panel.promises %}<div class="promise">
<div class="top"><b>{{ promise.name }}</b><span class="word {{ promise.tone }}">{{ promise.word }}</span></div>
{% if promise.chart %}{{ promise.chart }}{% endif %}<p class="numbers">{{ promise.numbers }}</p>
<small>{{ promise.small }}</small>
</div>
{% endfor %}</section>
{% endfor %}</div>

<h2>What incidents come from</h2>
{% if causes %}<div class="scroll"><table class="stack"><thead><tr><th>Incident</th><th>Cause</th>
<th>Part of the change</th><th>Evidence</th></tr></thead><tbody>
{% for cause in causes %}<tr><td data-label="Incident">{{ cause.incident }}</td><td class="cause" data-label="Cause"><b>{{ cause.cause }}</b></td>
<td class="number" data-label="Part of the change">{{ cause.part }}</td><td data-label="Evidence">{{ cause.evidence }}</td></tr>
{% endfor %}</tbody></table></div>{% else %}<p class="soft">No incident to explain.</p>{% endif %}

<h2>Drift of the data</h2>
<p>{{ drift_words }}</p>
{% if drifted %}<div class="scroll"><table class="stack"><thead><tr><th>Data</th><th>Test</th><th>Effect</th>
<th>Called drift from</th><th>Adjusted p</th><th>Estimated loss</th></tr></thead><tbody>
{% for row in drifted %}<tr><td data-label="Data">{{ row.column }}</td><td data-label="Test">{{ row.test }}</td>
<td class="number" data-label="Effect">{{ row.statistic }}</td><td class="number" data-label="Called drift from">{{ row.threshold }}</td>
<td class="number" data-label="Adjusted p">{{ row.p }}</td><td class="number" data-label="Estimated loss">{{ row.loss }}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}

<h2>Closed loops</h2>
<p>{{ loop_words }}</p>
{% if loops %}<div class="scroll"><table class="stack"><thead><tr><th>When</th><th>Event</th><th>Impact</th><th>Action</th>
<th>Memory</th><th>Loop</th></tr></thead><tbody>
{% for chain in loops %}<tr><td class="number" data-label="When">{{ chain.at }}</td><td data-label="Event">{{ chain.event }}</td>
<td data-label="Impact">{{ chain.impact or "not yet" }}</td><td data-label="Action">{{ chain.action or "not yet" }}</td>
<td data-label="Memory">{{ chain.memory or "not yet" }}</td>
<td><span class="word {{ chain.tone }}">{{ chain.word }}</span></td></tr>
{% endfor %}</tbody></table></div>{% endif %}

<h2>What is not known</h2>
{% if unknowns %}<ul>
{% for unknown in unknowns %}<li><b>{{ unknown.name }}</b>: {{ unknown.why }}</li>
{% endfor %}</ul>{% else %}<p>Every promise could be measured.</p>{% endif %}

<footer>
<p>A promise counts as kept only when it holds with a probability of at least {{ clearly }}; an unknown one counts as not
kept. The probability that all of a module's promises hold multiplies their posteriors. Intervals are 90 %. Every figure
can be recomputed from the counters in <a href="/assets/eval/trust_scores">eval/trust_scores</a>
(formula {{ formula }}).</p>
</footer>
</main>
</body>
</html>
"""
