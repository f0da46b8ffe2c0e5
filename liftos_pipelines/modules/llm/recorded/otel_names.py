"""Attribute names of GenAI spans, newest first, kept here because the conventions move between homes and versions.

Sources: OpenTelemetry semantic conventions for generative AI, registry 1.27 (August 2024) to 1.41 and its successor
repository; OpenLLMetry (`gen_ai.prompt.N.*`, `traceloop.*`); OpenInference; Langfuse's own OpenTelemetry attributes.
`liftos.*` are the names by which an application states what no convention has a word for.
"""

from __future__ import annotations

from liftos_pipelines.modules.llm.recorded.spans import Kind

VERSION = "2026-11"

OPERATION = ("gen_ai.operation.name", "llm.request.type")
CALL_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "completion", "response", "responses"})
OTHER_OPERATIONS: dict[str, Kind] = {
    "embeddings": "embedding",
    "embedding": "embedding",
    "execute_tool": "tool",
    "rerank": "other",
    "retrieval": "retriever",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "agent",
}
KIND = ("openinference.span.kind", "traceloop.span.kind", "langfuse.observation.type", "gen_ai.span.kind")
KINDS: dict[str, Kind] = {
    "llm": "call",
    "generation": "call",
    "embedding": "embedding",
    "retriever": "retriever",
    "tool": "tool",
    "agent": "agent",
    "chain": "other",
    "workflow": "agent",
    "task": "other",
    "reranker": "other",
    "guardrail": "other",
    "evaluator": "other",
    "span": "other",
    "event": "other",
}

FIELDS: dict[str, tuple[str, ...]] = {
    "model": (
        "gen_ai.response.model",
        "gen_ai.request.model",
        "llm.model_name",
        "langfuse.observation.model.name",
    ),
    "prompt_name": ("gen_ai.prompt.name", "langfuse.observation.prompt.name", "liftos.prompt_name"),
    "prompt_version": ("gen_ai.prompt.version", "langfuse.observation.prompt.version", "liftos.prompt_version"),
    "variant": ("liftos.variant", "gen_ai.prompt.variant", "feature_flag.result.variant", "feature_flag.variant"),
    "context": ("liftos.context",),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "usd": ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.usage.cost", "llm.cost.total"),
    "cost": ("liftos.cost",),
    "user_feedback": ("liftos.user_feedback",),
    "reference": ("liftos.reference",),
    "use_case": ("liftos.use_case", "gen_ai.workflow.name", "traceloop.workflow.name", "langfuse.trace.name"),
    "unit_id": ("liftos.unit_id",),
    "propensity": ("liftos.propensity",),
    "session_id": ("gen_ai.conversation.id", "session.id", "langfuse.session.id"),
    "user_id": ("user.id", "enduser.id", "langfuse.user.id"),
    "call_id": ("liftos.call_id",),
}
"""Column of `llm_calls` (and `usd`, `user_id`, which become columns) -> names, the first that is there counts."""

INPUT = (
    "gen_ai.input.messages",
    "gen_ai.prompt",
    "langfuse.observation.input",
    "input.value",
    "traceloop.entity.input",
)
SYSTEM = ("gen_ai.system_instructions",)
OUTPUT = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "langfuse.observation.output",
    "output.value",
    "traceloop.entity.output",
)
INDEXED_INPUT = ("gen_ai.prompt.", "llm.input_messages.")
INDEXED_OUTPUT = ("gen_ai.completion.", "llm.output_messages.")
"""Messages one attribute a field: `gen_ai.prompt.0.role`, `llm.input_messages.0.message.content`."""

DOCUMENTS = ("gen_ai.retrieval.documents", "retrieval.documents", "output.value", "traceloop.entity.output")

MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
CHOICE_EVENT = "gen_ai.choice"
CONTENT_EVENTS = ("gen_ai.content.prompt", "gen_ai.content.completion", "gen_ai.client.inference.operation.details")
EVALUATION_EVENT = "gen_ai.evaluation.result"
EXCEPTION_EVENT = "exception"
ERROR = ("error.message", "langfuse.observation.status_message", "error.type")
SIGNS = ("gen_ai.request.model", "gen_ai.response.model", "gen_ai.system", "gen_ai.provider.name", "llm.model_name")
"""A span without an operation that carries one of these, and tokens or messages, is a call."""

KNOWN_PREFIXES = (
    "gen_ai.request.",
    "gen_ai.response.",
    "gen_ai.agent.",
    "gen_ai.tool.",
    "gen_ai.retrieval.",
    "gen_ai.evaluation.",
    "gen_ai.openai.",
    "gen_ai.embeddings.",
    "gen_ai.token.",
    "gen_ai.prompt.",
    "gen_ai.completion.",
)
KNOWN = frozenset(
    {
        "gen_ai.system",
        "gen_ai.provider.name",
        "gen_ai.output.type",
        "gen_ai.data_source.id",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.total_tokens",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        *OPERATION,
        *KIND,
        *INPUT,
        *OUTPUT,
        *SYSTEM,
        *(name for names in FIELDS.values() for name in names),
    }
)


def not_known(name: str) -> bool:
    """Whether a GenAI attribute is one that this version has no word for (others are the application's own)."""
    return name.startswith("gen_ai.") and name not in KNOWN and not name.startswith(KNOWN_PREFIXES)
