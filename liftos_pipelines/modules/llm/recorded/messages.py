"""Chat messages in the shapes that tools record them: what was asked, what tools gave, what was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liftos_pipelines.modules.llm.recorded.values import as_json, as_text

TOOL_ROLES = frozenset({"tool", "function"})
TOOL_PARTS = frozenset({"tool_call_response", "tool_result", "function_call_output"})
CALL_PARTS = frozenset({"tool_call", "tool_use", "function_call"})
ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`text`: one user message as it is, a conversation as `role: text` lines; `tools`: what tools answered."""

    text: str | None
    tools: str | None


def asked(value: Any, system: Any = None) -> Asked:
    """What went in, from messages (OpenAI, OpenTelemetry parts, LangChain) or any other value, which is shown whole."""
    messages = _messages(as_json(value))
    if messages is None:
        return Asked(text=as_text(value), tools=None)
    instructions = _content(as_json(system))
    lines: list[tuple[str, str]] = [("system", instructions)] if instructions else []
    tools: list[str] = []
    for role, content in messages:
        answered = _content(content, of_tools=True)
        if role in TOOL_ROLES:
            answered, content = answered or _content(content), None
        if answered:
            tools.append(answered)
        said = _content(content)
        if said:
            lines.append((role, said))
    if len(lines) == 1:
        text: str | None = lines[0][1]
    else:
        text = "\n".join(f"{role}: {said}" for role, said in lines) or None
    return Asked(text=text, tools="\n\n".join(tools) or None)


def answered(value: Any) -> str | None:
    """What came out: the messages' text; a call of tools as JSON where nothing was said."""
    found = as_json(value)
    messages = _messages(found)
    if messages is None:
        return as_text(value)
    said = "\n".join(text for _, content in messages if (text := _content(content)))
    if said:
        return said
    calls = [call for _, content in messages for call in _tool_calls(content)]
    return as_text(calls) if calls else None


def _messages(value: Any) -> list[tuple[str, Any]] | None:
    """(role, content) of each message; None where the value is not a list of messages."""
    if isinstance(value, Mapping):
        for key in ("messages", "choices", "generations", "candidates", "contents", "input", "output"):
            inner = as_json(value.get(key))
            if isinstance(inner, Sequence) and not isinstance(inner, str):
                return _messages(inner)
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return None
    found = []
    for entry in value:
        entry = as_json(entry)
        if isinstance(entry, Sequence) and not isinstance(entry, str):
            inner_messages = _messages(entry)
            if inner_messages is None:
                return None
            found += inner_messages
            continue
        if not isinstance(entry, Mapping):
            return None
        message = entry.get("message") if isinstance(entry.get("message"), Mapping) else entry
        assert isinstance(message, Mapping)
        kind = str(message.get("type"))
        if kind == "reasoning":
            continue
        if "role" not in message and kind in CALL_PARTS | TOOL_PARTS:
            found.append(("assistant" if kind in CALL_PARTS else "tool", [message]))
            continue
        role = str(message.get("role") or message.get("type") or "assistant").lower()
        if not any(key in message for key in ("content", "parts", "tool_calls", "text")):
            return None
        content = message.get("parts", message.get("content", message.get("text")))
        calls = message.get("tool_calls")
        if calls and not content:
            content = [{"type": "tool_call", **call} for call in calls if isinstance(call, Mapping)]
        found.append((ROLES.get(role, role), content))
    return found


def _content(content: Any, *, of_tools: bool = False) -> str | None:
    """Text of a message's content: a text, or parts; `of_tools` takes what tools answered instead of what was said."""
    if isinstance(content, str) and content.lstrip()[:1] == "[":
        parsed = as_json(content)
        if isinstance(parsed, list) and parsed and all(isinstance(part, Mapping) for part in parsed):
            content = parsed
    if content is None:
        return None
    if isinstance(content, str):
        return None if of_tools else as_text(content)
    parts = [content] if isinstance(content, Mapping) else content
    if not isinstance(parts, Sequence):
        return None if of_tools else as_text(content)
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts += [] if of_tools else [part]
        elif isinstance(part, Mapping):
            kind = str(part.get("type", "text"))
            if kind in CALL_PARTS or (kind in TOOL_PARTS) != of_tools:
                continue
            keys = ("response", "result", "output", "content") if of_tools else ("content", "text")
            said = next((part[key] for key in keys if part.get(key) is not None), None)
            text = as_text(said)
            texts += [text] if text else []
    return "\n".join(texts) or None


def _tool_calls(content: Any) -> list[dict[str, Any]]:
    parts = content if isinstance(content, Sequence) and not isinstance(content, str) else []
    calls = []
    for part in parts:
        if isinstance(part, Mapping) and str(part.get("type")) in CALL_PARTS | {"function"}:
            function = part.get("function") if isinstance(part.get("function"), Mapping) else part
            assert isinstance(function, Mapping)
            arguments = function.get("arguments", function.get("input"))
            calls.append({"tool": function.get("name"), "arguments": as_json(arguments)})
    return calls
