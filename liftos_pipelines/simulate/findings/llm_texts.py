"""LLM: what generated texts must be, what screens find in them, and what they say of the client's channels."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.simulate.findings.finding import Finding, Read, Truth, finding, not_found, share

CONTENT, SCREENS, CLAIMS = "llm/content_scores", "llm/screens", "llm/claims"
RECALL, FALSE_ALARMS = 0.8, 0.05
"""Goals of the screens (docs/benchmarks.md)."""
JUDGED_RIGHT = 0.9
"""Of the claims that the tables judge: their intervals hold the truth nine times in ten."""


def compare(read: Read, truth: Truth) -> list[Finding]:
    llm = truth["llm"]
    return [*_content(read(CONTENT), llm), *_screens(read(SCREENS), llm), *_channels(read(CLAIMS), llm)]


def _content(scores: pl.DataFrame, llm: Truth) -> list[Finding]:
    faults = {(row["call_id"], row["fault"]) for row in llm["content_faults"]}
    what, beside = "planted faults of generated texts", f"all {len(faults)}"
    metrics = {fault for _, fault in faults}
    own = scores.filter(
        pl.col("template").is_in(list(llm["content_prompts"].values())), pl.col("metric").is_in(list(metrics))
    )
    if own.is_empty():
        return [not_found(CONTENT, what, beside)]
    unmet = set(own.filter(pl.col("met") == False).select("call_id", "metric").iter_rows())  # noqa: E712
    hits, false = len(faults & unmet), len(unmet - faults)
    clean = own.filter(pl.col("met").is_not_null()).height - len(faults)
    return [
        finding(CONTENT, what, share(hits, len(faults)), beside, hits == len(faults)),
        finding(CONTENT, "the same metrics, texts without a fault", share(false, clean), "none", false == 0),
    ]


def _screens(screens: pl.DataFrame, llm: Truth) -> list[Finding]:
    named = {"injection": "orders to the machine", "pii": "personal data in outputs"}
    if screens.is_empty():
        return [not_found(SCREENS, f"planted {words} flagged", "all") for words in named.values()]
    flagged = set(screens.filter("flagged").select("call_id", "screen", "where").iter_rows())
    found = []
    for screen, words in named.items():
        own = [row for row in llm["screened"] if row["screen"] == screen]
        hit: dict[str, list[bool]] = {"planted": [], "look-alike": []}
        for row in own:
            hit[row["is"]].append((row["call_id"], screen, row["where"]) in flagged)
        hits, false = sum(hit["planted"]), sum(hit["look-alike"])
        found += [
            finding(
                SCREENS,
                f"planted {words} flagged",
                share(hits, len(hit["planted"])),
                f"all; goal {RECALL:.0%}",
                hits >= RECALL * len(hit["planted"]),
            ),
            finding(
                SCREENS,
                f"look-alikes of {words} flagged",
                share(false, len(hit["look-alike"])),
                f"none; goal at most {FALSE_ALARMS:.0%}",
                false <= FALSE_ALARMS * len(hit["look-alike"]),
            ),
        ]
    found.append(_elsewhere(flagged, llm))
    return found


def _elsewhere(flagged: set[tuple[str, str, str]], llm: Truth) -> Finding:
    """What else is flagged: a planted name out of nowhere may be a person's, so those calls say nothing."""
    known = {row["call_id"] for row in llm["screened"]} | {row["call_id"] for row in llm["planted"]}
    calls = llm["calls"] - len(known)
    false = len({call_id for call_id, screen, _ in flagged if screen in ("injection", "pii") and call_id not in known})
    return finding(
        SCREENS, "other calls flagged", share(false, calls), "none; goal at most 5%", false <= FALSE_ALARMS * calls
    )


def _channels(claims: pl.DataFrame, llm: Truth) -> list[Finding]:
    """An interval may hold both, then the tables judge nothing: that is no miss, and it is counted."""
    right = {row["call_id"]: row["right"] for row in llm["claims"]}
    judged = claims.filter(pl.col("call_id").is_in(list(right)))
    found = []
    for true, what, verdict in ((True, "right", "supported"), (False, "wrong", "contradicted")):
        calls = [call_id for call_id, own in right.items() if own == true]
        name, beside = f"{what} claims of channels: {verdict}", "those that the tables can judge; goal 90%"
        own = judged.filter(pl.col("call_id").is_in(calls))
        if own.is_empty():
            found.append(not_found(CLAIMS, name, beside))
            continue
        count = dict(own["verdict"].value_counts().iter_rows())
        known = own.height - count.get("unknown", 0)
        told = f"{share(count.get(verdict, 0), known)}; {count.get('unknown', 0)} unknown of {len(calls)}"
        agrees = count.get(verdict, 0) >= JUDGED_RIGHT * known if known else None
        found.append(finding(CLAIMS, name, told, beside, agrees))
    return found
