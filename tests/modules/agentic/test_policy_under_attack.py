"""What somebody who means harm, or nobody who looks, may hand to a policy: nothing opens, nothing raises or hangs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from agentic_frames import START, agents, call, policy, steps

from liftos_pipelines.modules.agentic.arguments import DEEPEST
from liftos_pipelines.modules.agentic.comparing import LONGEST_TEXT, domains_of, is_number
from liftos_pipelines.modules.agentic.policy import PolicyError
from liftos_pipelines.modules.agentic.policy.expressions import endless
from liftos_pipelines.modules.agentic.replay import replay
from liftos_pipelines.resources.policy_files import LARGEST, read_policy

LIVE = agents({"agent_id": "a"})


def decided(when: dict[str, Any], *rows: dict[str, Any], decision: str = "deny", **more: Any) -> list[str]:
    """Decisions on the steps where one rule stands beside the packaged policy."""
    rule = {"name": "r", "decision": decision, "when": when}
    found = replay(steps(*rows), LIVE, policy({"extends": "default", "rules": [rule], **more}))
    return found.decisions["decision"].to_list()


def refused(folder: Path, text: str | bytes) -> str:
    file = folder / "policy.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PolicyError) as error:
        read_policy(file)
    return str(error.value)


def one_rule(when: str) -> str:
    return f"tools: {{a: {{amount: x}}, b: {{}}}}\nrules:\n  - {{name: r, decision: deny, when: {when}}}\n"


LAUGHS = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{o}, *{o}]\n" for o, n in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected fields"),
        ("- a\n- b\n", "expected fields"),
        (b"\xff\xfea: b", "not readable"),
        (b"name: a\x00b", "not readable"),
        (LAUGHS + "tools: *i\n", "aliases"),
        (one_rule("&w {not: *w}"), "aliases"),
        ("tools: &t {a: *t}\n", "aliases"),
        (one_rule("{<<: {tool: a}, reversible: true}"), "merge keys"),
        ("tools: {1: {}, '1': {reversible: true}}\n", "given twice"),
        ("tools: {yes: {}, true: {reversible: true}}\n", "given twice"),
        (one_rule("{not: " * 80 + "{tool: a}" + "}" * 80), "nested deeper"),
        (one_rule("{not: " * 3000 + "{tool: a}" + "}" * 3000), "nested deeper"),
        ("# " + "x" * LARGEST + "\nname: a\n", "larger than"),
        ('name: "\\ud800"\n', "no Unicode"),
        (one_rule("{rate: {more_than: 1, per: 99999999999999w}}"), "expected a span"),
        (one_rule(f"{{rate: {{more_than: 1, per: {'9' * 5000}s}}}}"), "expected a span"),
        (one_rule(f"{{sequence: {{steps: [{{tool: a}}, {{tool: b}}], within: {'9' * 5000} steps}}}}"), "a span"),
        (one_rule(f"{{amount: {{above: 1{'0' * 400}}}}}"), "expected a number"),
        (one_rule("{arguments: {q: {matches: '(a+)+$'}}}"), "for ever"),
        (one_rule("{arguments: {q: {matches: 'a{1,99999999999}'}}}"), "not a regular expression"),
        (one_rule(f"{{arguments: {{q: {{matches: '{'(' * 2000}a{')' * 2000}'}}}}}}"), "not a regular expression"),
        (one_rule("{arguments: {q: {matches: !!binary aGVsbG8=}}}"), "regular expression"),
        (one_rule("{time: {hours: '07:00+02:00-20:00'}}"), "expected hours"),
        (one_rule("{tool: \u0430}"), "not declared"),
    ],
)
def test_a_file_that_is_no_policy_is_named_and_neither_raises_nor_hangs(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    begin = time.perf_counter()
    assert said in refused(tmp_path, text)
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("pattern", "hangs"),
    [
        (r"(a+)+$", True),
        (r"(\w+|\d)*", True),
        (r"(\w+\s?)+$", True),
        (r"(?:\s+|\w+)*x", True),
        (r"(\d+|[a-z]+ )*", True),
        (r"(\w+\s)+", False),
        (r"(?:[a-z0-9]+\.)+com", False),
        (r"((?:[a-z]+|[0-9]+) )*", False),
        (r"(?:yes|ja|oui)(?: please)*", False),
        (r"([^,]*,)+", False),
    ],
)
def test_expressions_that_double_with_each_letter_are_told_from_those_that_do_not(pattern: str, hangs: bool) -> None:
    assert (endless(pattern) is not None) is hangs


@pytest.mark.parametrize(
    "to",
    [
        "acme.example/x@evil.example",
        "https://evil.example?@acme.example",
        "https://evil.example#@acme.example",
        "https://evil.example\\@acme.example",
        "mailto:x@evil.example?cc=y@acme.example",
        "<x@evil.example>@acme.example",
        "x@evil.example <y@acme.example>",
        '"a@evil.example"@acme.example',
        "x@acme.example\r\nBcc: z@evil.example",
        ["x@acme.example", "y@evil.example"],
        {"email": "x@acme.example"},
        "x@acm\u0435.example",
        "",
        [],
        None,
    ],
)
def test_no_spelling_of_an_address_outside_looks_like_one_inside(to: Any) -> None:
    found = decided({"repeat": {"more_than": 99}}, call("read_customer"), call("send_mail", {"to": to}))
    assert found[-1] == "deny"


@pytest.mark.parametrize(
    "to", ["x@acme.example", "Ann Lee <ann@acme.example>", ["a@acme.example", "b@de.acme.example"]]
)
def test_addresses_inside_are_still_inside(to: Any) -> None:
    found = decided({"repeat": {"more_than": 99}}, call("read_customer"), call("send_mail", {"to": to}))
    assert found[-1] == "needs_approval"


def test_one_good_domain_beside_a_barred_one_neither_lifts_a_deny_nor_gives_an_allow() -> None:
    mixed = {"to": ["x@rival.example", "y@other.example"]}
    assert decided({"arguments": {"to": {"domain_in": ["rival.example"]}}}, call("send_mail", mixed)) == ["deny"]
    open_to_others = {"tool": "send_mail", "arguments": {"to": {"domain_not_in": ["rival.example"]}}}
    assert decided(open_to_others, call("send_mail", mixed), decision="allow") == ["needs_approval"]
    fine = {"to": ["y@other.example"]}
    assert decided(open_to_others, call("send_mail", fine), decision="allow") == ["allow"]
    assert domains_of("https://user:pw@acme.example:443/x?y=z@evil.example") == ["acme.example"]


def test_a_number_as_text_does_not_slip_through_a_sequence_or_a_count() -> None:
    big = {"tool": "adjust_bid", "arguments": {"amount": {"above": 500}}}
    first, then = call("adjust_bid", {"amount": "900"}), call("notify", {"text": "t"})
    assert decided({"sequence": [big, {"tool": "notify"}]}, first, then)[-1] == "deny"
    assert decided({"count": {"of": big, "more_than": 1}}, first, first)[-1] == "deny"
    small = call("adjust_bid", {"amount": 5})
    assert decided({"sequence": [big, {"tool": "notify"}]}, small, then)[-1] == "allow"
    # What only opens needs it to hold: the unreadable first call opens nothing.
    assert decided({"not": {"sequence": [big, {"tool": "notify"}]}}, first, then)[-1] == "deny"


def test_a_step_may_compare_two_of_its_own_arguments() -> None:
    to_itself = {"tool": "shift_budget", "arguments": {"from": {"equals": {"argument": "to"}}}}
    when = {"sequence": [to_itself, {"tool": "notify"}]}
    then = call("notify", {"text": "t"})
    assert decided(when, call("shift_budget", {"from": "tv", "to": "tv", "amount": 1}), then)[-1] == "deny"
    assert decided(when, call("shift_budget", {"from": "tv", "to": "web", "amount": 1}), then)[-1] == "allow"


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1),
        '{"a":' * 990 + "1" + "}" * 990,
        '{"a":' + "[" * 100_000,
        '{"amount": 1e999}',
        '{"amount": 1' + "0" * 5000 + "}",
        '{"t": "\\ud800"}',
        '{"\\udc00": 1}',
    ],
)
def test_arguments_that_no_later_reader_could_take_are_malformed(arguments: str) -> None:
    found = replay(steps(call("adjust_bid", arguments)), LIVE, policy({"extends": "default"}))
    assert found.decisions["policy"].to_list() == ["malformed_call"]
    assert found.decisions["decision"].to_list() == ["deny"]


def test_an_amount_that_no_float_holds_is_not_known_and_stops_no_replay() -> None:
    huge = call("adjust_bid", '{"amount": 1' + "0" * 400 + "}")
    assert decided({"amount": {"above": 1000}}, huge) == ["deny"]
    assert decided({"amount": {"at_most": 1000}}, huge, decision="allow") == ["needs_approval"]
    typed = {"adjust_bid": {"amount": "amount", "arguments": {"amount": {"type": "number", "max": 1000}}}}
    assert decided({"repeat": {"more_than": 99}}, huge, tools=typed) == ["deny"]
    assert not is_number(10**400)


def test_steps_without_number_or_time_are_each_judged_and_denied_not_left_out() -> None:
    rows = steps(call("notify", {"text": "one"}), call("notify", {"text": "two"}))
    nameless = rows.with_columns(pl.lit(None, dtype=pl.Int64).alias("step"))
    assert replay(nameless, LIVE, policy({"extends": "default"})).decisions.height == 2
    untimed = rows.with_columns(pl.when(pl.col("step") == 2).then(None).otherwise("at").alias("at"))
    assert replay(untimed, LIVE, policy({"extends": "default"})).decisions["decision"].to_list() == ["allow", "deny"]


def test_a_long_result_without_a_break_does_not_hold_up_the_next_decision() -> None:
    when = {"tool": "notify", "carries": {"from": "read_customer"}}
    blob = "a b c d e " + "x" * 200_000
    begin = time.perf_counter()
    told = {"kind": "tool_result", "tool": "read_customer", "content": blob}
    found = decided(when, call("read_customer"), told, call("notify", {"text": "hello"}))
    assert found[-1] == "allow"
    assert time.perf_counter() - begin < 5


def test_a_text_too_long_to_be_searched_closes_and_does_not_open() -> None:
    long = {"text": "x" * (LONGEST_TEXT + 1)}
    assert decided({"arguments": {"text": {"matches": "secret"}}}, call("notify", long)) == ["deny"]
    harmless = {"tool": "publish_ad", "arguments": {"text": {"not_matches": "secret"}}}
    assert decided(harmless, call("publish_ad", long), decision="allow") == ["needs_approval"]
    message = {"kind": "message", "content": "user: " + "x" * LONGEST_TEXT, "at": START}
    assert decided({"last_message": {"matches": "stop"}}, message, call("notify", {"text": "t"})) == ["deny"]
