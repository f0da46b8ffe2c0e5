"""What the demo's people and agents do that no file holds: prompts that served before, and calls that ask the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from liftos_pipelines import settings
from liftos_pipelines.resources.prompt_registry import CANDIDATE, PRODUCTION, PromptRegistry
from liftos_pipelines.simulate import gate_traffic, llm_content

AFTER_THE_GATE = ("agentic/coordination", "agentic/ledger_audit")
"""Tables that tell of what the gate was asked."""


def prompts_before(client: str, truth: Mapping[str, Any]) -> dict[str, str]:
    """As `record`, for the prompts of a written demo client."""
    registry = PromptRegistry(settings.mlflow_uri(), client)
    return record(registry, llm_content.templates(), truth["llm"]["serving"])


def record(
    registry: PromptRegistry, templates: Mapping[str, Mapping[str, str]], serving: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Register every template and move the aliases as people had; the version that served last, by prompt. Done once: a
    prompt whose `production` was set before is left alone.

    Parameters
    ----------
    templates : by prompt and label; serving : by prompt, the labels that served, one after the other
    """
    serves = {}
    for name, labels in serving.items():
        numbers = {label: registry.register(name, text, label=label) for label, text in sorted(templates[name].items())}
        if registry.alias(name, PRODUCTION) is None:
            for label in labels:
                registry.set_alias(name, PRODUCTION, numbers[label], by="growth", reason=f"version {label} goes live")
            for label in sorted(set(numbers) - set(labels)):
                registry.set_alias(name, CANDIDATE, numbers[label], by="growth", reason=f"version {label} is tried")
        serves[name] = labels[-1]
    return serves


def ask_the_gate(client: str) -> dict[str, Any]:
    """Let the demo's agents ask the real gate; what was asked, due and answered."""
    from liftos_pipelines.authority.opening import open_gate

    return gate_traffic.run(open_gate(client), settings.clients_folder() / client, datetime.now(UTC))
