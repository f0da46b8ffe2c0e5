"""The page: the same bytes from the same inputs, nothing fetched, nothing injected, nothing invented."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import eval_worlds as world
import polars as pl
import pytest

from liftos_pipelines.assets.eval import DEFAULT_SLOS
from liftos_pipelines.modules.eval.drift import drift
from liftos_pipelines.modules.eval.loops import EventRecord, Loop, loops
from liftos_pipelines.modules.eval.page import Pulse, trust_page, word
from liftos_pipelines.modules.eval.page_template import STYLE
from liftos_pipelines.modules.eval.root_causes import explain, promise_incidents
from liftos_pipelines.modules.eval.trust import degraded, score
from liftos_pipelines.tables import TABLES

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{ 7*7 }}'


class Reader(HTMLParser):
    """Checks that tags are balanced and collects tags, attributes and text."""

    VOID = ("meta", "br", "img", "link", "input", "hr", "line", "circle")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def pulse(frames: dict[str, pl.DataFrame], client: str = "acme", chains: list[Loop] | None = None) -> Pulse:
    drifted = drift(frames)
    scores = score(DEFAULT_SLOS, frames | {"eval/drift": drifted}, now=world.NOW, names={"brand": "Acme"})
    causes = explain(promise_incidents(DEFAULT_SLOS, degraded(scores), frames), scores, frames["sources/campaigns"])
    return Pulse(client=client, now=world.NOW, newest=world.LAST, scores=scores, drift=drifted, causes=causes,
                 loops=chains or [])  # fmt: skip


def test_the_same_inputs_give_the_same_bytes() -> None:
    first, second = (trust_page(pulse(world.full_world(1, bad_version_from=20))) for _ in range(2))
    assert first == second
    # From the stored tables too, whatever the order their rows come back in.
    made = pulse(world.full_world(1, bad_version_from=20))
    turned = Pulse(client="acme", now=made.now, newest=made.newest, scores=made.scores.reverse(),
                   drift=made.drift.reverse(), causes=made.causes.reverse())  # fmt: skip
    assert trust_page(turned) == first


def test_the_page_stands_alone_and_is_well_formed() -> None:
    page = trust_page(pulse(world.full_world(1)))
    reader = Reader(page)
    assert reader.open == []
    assert not {"script", "iframe", "img", "link", "object", "embed"} & set(reader.tags)
    assert [value for name, value in reader.attributes if name in ("src", "srcset", "action", "style")] == []
    links = [value for name, value in reader.attributes if name == "href"]
    assert links
    assert all(value and re.fullmatch(r"/asset(s/[a-z_]+/[a-z_]+|-groups)", value) for value in links)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert len(page) < 150_000


def test_the_words_say_what_is_broken_and_why() -> None:
    text = Reader(trust_page(pulse(world.full_world(1, bad_version_from=20, bad_drop=0.8, grounded=0.74)))).text
    assert "Take care: 1 promise broken, in LLM." in text
    assert "First cause: prompt_version = v2 (new)." in text
    assert "formula trust-1" in text
    assert "Age of the data" in text


def test_of_a_client_without_data_everything_is_unknown() -> None:
    nothing = Pulse(client="new", now=world.NOW, newest=None, scores=score(DEFAULT_SLOS, world.nothing(), now=world.NOW),
                    drift=drift({}), causes=explain([], score([], {}, now=world.NOW), TABLES["sources/campaigns"].empty()))  # fmt: skip
    text = Reader(trust_page(nothing)).text
    assert "Trust is unknown." in text
    assert f"0 of {len(DEFAULT_SLOS)}" in text
    assert "Nothing to compare" in text
    assert "No incident to explain." in text
    assert "100%" not in text
    assert "kept beyond doubt" not in text


def test_even_tables_that_were_never_made_give_a_page() -> None:
    bare = {name: TABLES[f"eval/{name}"].empty() for name in ("trust_scores", "drift", "root_causes")}
    page = trust_page(Pulse(client="new", now=world.NOW, newest=None, scores=bare["trust_scores"], drift=bare["drift"],
                            causes=bare["root_causes"]))  # fmt: skip
    assert "Nothing is promised yet." in page


def test_hostile_text_from_data_stays_text() -> None:
    made = pulse(world.full_world(1, bad_version_from=20, bad_drop=0.8, grounded=0.74), client=HOSTILE, chains=[
        Loop(occurred_at=world.LAST, event=HOSTILE, impact=HOSTILE, action=HOSTILE, memory=HOSTILE)])  # fmt: skip
    hostile = [pl.lit(HOSTILE).alias(name) for name in ("description", "reason", "owner", "slo")]
    page = trust_page(Pulse(client=made.client, now=made.now, newest=made.newest, loops=made.loops, drift=made.drift,
                            scores=made.scores.with_columns(hostile),
                            causes=made.causes.with_columns(pl.lit(HOSTILE).alias("cause"), pl.lit(HOSTILE).alias("evidence"),
                                                            pl.lit(HOSTILE).alias("incident_id"))))  # fmt: skip
    reader = Reader(page)
    assert not {"script", "img"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in reader.text
    assert HOSTILE in reader.text


@pytest.mark.parametrize(
    ("probability", "says"),
    [(0.99, "kept"), (0.7, "probably kept"), (0.2, "in doubt"), (0.01, "broken"), (None, "unknown")],
)
def test_a_verdict_is_a_word_before_it_is_a_colour(probability: float | None, says: str) -> None:
    assert word(probability)[0].endswith(says)


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_has_aa_contrast_in_light_dark_and_print() -> None:
    for block in re.findall(r":root\{([^}]*)\}", STYLE):
        colours = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", block.replace("\n", "")))
        pairs = [(text, ground) for text in ("ink", "soft", "link") for ground in ("ground", "card")]
        pairs += [(tone, f"{tone}bg") for tone in ("good", "bad", "warn", "none")]
        for text, ground in pairs:
            light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_a_loop_is_closed_only_when_it_is_remembered() -> None:
    at = world.LAST
    drop = EventRecord(
        event_id="e1", type="sentiment_drop_detected", occurred_at=at, payload={"campaign_id": "spring", "effect": -0.4}
    )
    impact = EventRecord(event_id="e2", type="causal_impact_identified", occurred_at=at, payload={
        "trigger_event_id": "e1", "effect": -10.0, "effect_low": -20.0, "effect_high": -1.0, "revenue_at_risk": None})  # fmt: skip
    action = EventRecord(event_id="e3", type="agent_action_initiated", occurred_at=at, causation_id="e2", payload={
        "action_id": "x", "action": "notify", "agent_id": "a", "decision": "allow", "status": "executed"})  # fmt: skip
    remembered = TABLES["memory/patterns"].conform(pl.DataFrame({
        "pattern_id": ["p"], "query_id": ["x"], "memory_ids": [["m"]], "similarity": [0.8], "p_success": [0.7],
        "confidence": [0.9], "abstained": [False], "action": ["pause"]}))  # fmt: skip
    chain = loops([drop, impact, action], remembered)[0]
    assert chain.closed
    assert "revenue unknown" in chain.impact
    assert "70%" in chain.memory
    assert loops([drop, impact, action], remembered.clear())[0].waits_for == "memory"
    assert loops([drop], remembered)[0].waits_for == "impact"
    assert loops([drop], remembered, since=at + timedelta(days=1)) == []
