"""Were an agent's tool calls right: the tool exists, the arguments can be read and fit, the result was no error.

What a task expects (`expected_calls` of a step: a JSON list of `{name, arguments}`) is compared with what was called,
as in Yao et al. (2024), tau-bench. What is not recorded is null and not counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl

from liftos_pipelines.modules.agentic.arguments import problem_with, read_arguments
from liftos_pipelines.modules.agentic.facts import ToolSpec

ERROR_RESULT = re.compile(
    r"\s*(?:\W*error\b|traceback\b|exception\b|exitcode: [1-9]|http(?:/\d\.\d)? [45]\d\d\b|[45]\d\d [a-z]+ ?error|"
    r"\{\s*\"(?:error|errors|exception)\"|(?:access|permission) denied|(?:time|timed)[ -]?out\b|fail(?:ed|ure)\b)",
    re.I,
)
"""How results begin that say that a call went wrong."""
CALLS = {
    "run_id": pl.String(),
    "agent_id": pl.String(),
    "step": pl.Int64(),
    "tool": pl.String(),
    "known": pl.Boolean(),
    "readable": pl.Boolean(),
    "fits": pl.Boolean(),
    "error": pl.Boolean(),
    "repeated": pl.Boolean(),
    "problem": pl.String(),
}


def calls_of(
    steps: pl.DataFrame,
    known: Callable[[str, str], bool | None],
    spec: Callable[[str], ToolSpec | None] = lambda tool: None,
) -> pl.DataFrame:
    """One row a tool call: whether the tool is `known`, its arguments `readable` (a JSON object) and fit (`fits`, null
    where the tool declares none), whether its result was an `error` (null without a result), whether it
    repeats a call with the same arguments of the same run, and the first `problem` in words.

    Parameters
    ----------
    known : (agent, tool) -> whether the agent may think that this tool exists; None where nobody declares any
    spec : what a tool declares of its arguments; None where it is not declared
    """
    rows = []
    columns = ("run_id", "agent_id", "step", "kind", "tool", "arguments", "content")
    for _, run in steps.sort("run_id", "step", maintain_order=True).group_by("run_id", maintain_order=True):
        said = list(run.select(columns).iter_rows(named=True))
        seen: Counter[str] = Counter()
        for i, step in enumerate(said):
            if step["kind"] != "tool_call":
                continue
            tool, arguments = step["tool"], read_arguments(step["arguments"])
            exists = known(step["agent_id"], tool) if tool else False
            problem = None if tool else "the call names no tool"
            if tool and exists is False:
                problem = f"there is no tool {tool}"
            if isinstance(arguments, str):
                problem = problem or arguments
            declared = spec(tool) if tool else None
            fits = None
            if declared is not None and declared.arguments is not None and not isinstance(arguments, str):
                mismatch = problem_with(arguments, declared)
                fits, problem = mismatch is None, problem or mismatch
            result = _result(said, i)
            error = None if result is None else bool(ERROR_RESULT.match(result))
            identity = f"{tool} {json.dumps(arguments, sort_keys=True, default=str)}"
            rows.append(
                {
                    "run_id": step["run_id"],
                    "agent_id": step["agent_id"],
                    "step": step["step"],
                    "tool": tool,
                    "known": exists,
                    "readable": not isinstance(arguments, str),
                    "fits": fits,
                    "error": error,
                    "repeated": seen[identity] > 0,
                    "problem": problem or (f"its result: {str(result)[:120]}" if error else None),
                }
            )
            seen[identity] += 1
    return pl.DataFrame(rows, schema=CALLS)


EXPECTED = {
    "run_id": pl.String(),
    "agent_id": pl.String(),
    "expected": pl.Int64(),
    "named": pl.Int64(),
    "exact": pl.Int64(),
    "writes_beside": pl.Int64(),
}


def expected_calls(steps: pl.DataFrame, writes: Callable[[str], bool]) -> pl.DataFrame:
    """Per run that names what it expects: how many calls were `expected`, how many of them were made by name
    (`named`) and with equal arguments (`exact`), and writing calls `writes_beside` that nobody expected."""
    if "expected_calls" not in steps.columns:
        return pl.DataFrame(schema=EXPECTED)
    rows = []
    for (run_id,), run in steps.sort("run_id", "step").group_by("run_id", maintain_order=True):
        told = run["expected_calls"].drop_nulls()
        wanted = _expected(told[0]) if told.len() else None
        if wanted is None:
            continue
        made = [
            (str(tool), read_arguments(arguments))
            for tool, arguments in run.filter(pl.col("kind") == "tool_call").select("tool", "arguments").iter_rows()
        ]
        left, names, exact = list(made), Counter(name for name, _ in made), 0
        for call in wanted:
            if call in left:
                left.remove(call)
                exact += 1
        expected_names = Counter(name for name, _ in wanted)
        rows.append(
            {
                "run_id": run_id,
                "agent_id": run["agent_id"][0],
                "expected": len(wanted),
                "named": sum(min(n, names[name]) for name, n in expected_names.items()),
                "exact": exact,
                "writes_beside": sum(writes(name) for name, _ in left),
            }
        )
    return pl.DataFrame(rows, schema=EXPECTED)


def _expected(text: str) -> list[tuple[str, Any]] | None:
    try:
        read = json.loads(text)
        return [(str(call["name"]), dict(call.get("arguments") or call.get("kwargs") or {})) for call in read]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _result(said: list[dict[str, Any]], call: int) -> str | None:
    """What a call gave: the next result of its tool (or of none by name) before the same tool is called again."""
    tool = said[call]["tool"]
    for step in said[call + 1 :]:
        if step["kind"] == "tool_result" and step["tool"] in (tool, None):
            return str(step["content"]) if step["content"] is not None else None
        if step["kind"] == "tool_call" and step["tool"] == tool:
            return None
    return None
