"""What the screens are known to find and to miss, for the reader of a table; the figures come from the benchmark."""

from __future__ import annotations

_ROWS = (
    (
        "injection",
        "all 93 texts of attack classes that its weights had not seen (its word lists had)",
        "0 of 142 hard benign texts; 0.0 to 0.9 % of real texts",
        "agent-governance-toolkit's corpus class by class; HaluEval, Banking77, tau-bench. Attacks in a new author's "
        "style are missed more often: see the module's page",
    ),
    (
        "pii",
        "1.00 (n 4,000) of planted data",
        "1 in 4,000 findings",
        "generated messages in six countries' forms; bare names and other forms are not looked for",
    ),
    (
        "toxicity",
        "unknown; 6 % of comments labelled hostile, few of which are abuse",
        "0.4 % of the others",
        "GoEmotions, a weak stand-in; English only",
    ),
    (
        "bias",
        "unknown; 2.4 % of stereotyping sentences",
        "2.2 % of their less stereotyping twins",
        "CrowS-Pairs: it finds blatant generalisations, not stereotypes; English only",
    ),
)
MEASURED = "\n".join(
    f"| {' | '.join(row)} |"
    for row in (("screen", "finds", "flags wrongly", "measured on (`liftos bench llm`)"), ("---",) * 4, *_ROWS)
)
"""A Markdown table."""
