"""Promises are data: typed, with errors that name the file and the field, and overridable by a client."""

from __future__ import annotations

import pytest

from liftos_pipelines.assets.eval import DEFAULT_SLOS
from liftos_pipelines.modules.eval.slo import MODULES, SloError, parse_slos, with_overrides

ENTRY = """
llm:
  speed: {table: sources/llm_calls, metric: quantile, params: {column: latency_ms, level: 0.95},
          direction: at_most, threshold: 900, window: 28d, owner: team:llm, min_n: 10}
"""


def test_the_packaged_promises_cover_every_module() -> None:
    assert {slo.module for slo in DEFAULT_SLOS} == set(MODULES)
    assert len({slo.key for slo in DEFAULT_SLOS}) == len(DEFAULT_SLOS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("metric: quantile", "metric: quantil"),
            'llm.speed.metric: there is no metric "quantil" (closest: "quantile")',
        ),
        (("sources/llm_calls", "sources/llm_call"), 'llm.speed.table: there is no table "sources/llm_call"'),
        (("level: 0.95", "levle: 0.95"), "params.level is required by this metric"),
        (("column: latency_ms, ", "column: latency_ms, exact: true, "), "params.exact is not known to this metric"),
        (("window: 28d", "window: 28 days"), "llm.speed.window: write a number of days or weeks"),
        (("owner: team:llm, ", ""), "llm.speed.owner: this field is required"),
        (("min_n: 10", "min_n: 10, treshold: 2"), 'llm.speed.treshold: this field is not known (closest: "threshold")'),
        (("threshold: 900", "threshold: .nan"), "llm.speed.threshold"),
    ],
)
def test_an_error_names_file_field_and_fix(change: tuple[str, str], says: str) -> None:
    with pytest.raises(SloError) as caught:
        parse_slos(ENTRY.replace(*change), "slos/mine.yaml")
    assert "slos/mine.yaml: llm.speed" in str(caught.value)
    assert says in str(caught.value)


def test_a_client_moves_a_threshold_drops_a_promise_and_adds_its_own() -> None:
    own = {
        "llm.latency_p95": 800,
        "llm.error_rate": {"threshold": 0.1, "version": 2},
        "memory.abstention": False,
        "surfacing.answer_length": {
            "table": "sources/answers", "metric": "share", "params": {"column": "text", "not_null": True},
            "direction": "at_least", "threshold": 0.99, "owner": "me", "min_n": 5,
        },
    }  # fmt: skip
    slos = {slo.key: slo for slo in with_overrides(DEFAULT_SLOS, own, "acme/client.yaml")}
    assert slos["llm.latency_p95"].threshold == 800
    assert (slos["llm.error_rate"].threshold, slos["llm.error_rate"].version) == (0.1, 2)
    assert "memory.abstention" not in slos
    assert slos["surfacing.answer_length"].owner == "me"


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (
            {"llm.latency": 800},
            'slos.llm.latency: there is no such default to give a threshold to (closest: "llm.latency_p95")',
        ),
        ({"latency_p95": 800}, "write it as module.name"),
        ({"llm.latency_p95": "fast"}, "expected a threshold, `false`, or fields"),
        ({"llm.code": {"metric": "__import__('os')"}}, "there is no metric"),
    ],
)
def test_a_wrong_override_says_where_and_why(own: dict[str, object], says: str) -> None:
    with pytest.raises(SloError) as caught:
        with_overrides(DEFAULT_SLOS, own, "acme/client.yaml")
    assert "acme/client.yaml: slos." in str(caught.value)
    assert says in str(caught.value)
