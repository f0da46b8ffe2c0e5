"""Which assistants' crawlers a site lets in, by what they crawl for: answers, a user's question, or training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from protego import Protego

Purpose = Literal["search", "user", "training"]
PURPOSES: tuple[Purpose, ...] = ("search", "user", "training")


@dataclass(frozen=True)
class Agent:
    """A crawler: the name robots.txt addresses, who runs it, and what its visits are for."""

    name: str
    operator: str
    purpose: Purpose
    note: str = ""


AGENTS: tuple[Agent, ...] = (
    # Builds the index that answers are found and cited from.
    Agent("Googlebot", "Google", "search", "Search, AI Overviews and AI Mode"),
    Agent("Bingbot", "Microsoft", "search", "Bing and Copilot"),
    Agent("OAI-SearchBot", "OpenAI", "search", "ChatGPT search"),
    Agent("Claude-SearchBot", "Anthropic", "search", "Claude's search"),
    Agent("PerplexityBot", "Perplexity", "search"),
    Agent("Applebot", "Apple", "search", "Siri and Spotlight"),
    Agent("Amazonbot", "Amazon", "search", "Alexa answers; Amazon may also train on it"),
    Agent("meta-webindexer", "Meta", "search", "Meta AI's search"),
    Agent("Bravebot", "Brave", "search", "its index also serves other assistants"),
    Agent("YouBot", "You.com", "search"),
    # Fetches one page because a user asks about it now.
    Agent("ChatGPT-User", "OpenAI", "user"),
    Agent("Claude-User", "Anthropic", "user"),
    Agent("Perplexity-User", "Perplexity", "user", "says that it may pass over robots.txt"),
    Agent("MistralAI-User", "Mistral", "user", "Le Chat"),
    Agent("Gemini-Deep-Research", "Google", "user"),
    Agent("meta-externalfetcher", "Meta", "user", "says that it may pass over robots.txt"),
    Agent("DuckAssistBot", "DuckDuckGo", "user"),
    Agent("Amzn-User", "Amazon", "user", "Alexa"),
    # Collects text to train models. Letting it in is a choice, not a matter of being cited.
    Agent("GPTBot", "OpenAI", "training"),
    Agent("ClaudeBot", "Anthropic", "training"),
    Agent("Google-Extended", "Google", "training", "a switch, not a crawler; does not affect Search"),
    Agent("Applebot-Extended", "Apple", "training", "a switch, not a crawler"),
    Agent("meta-externalagent", "Meta", "training"),
    Agent("CCBot", "Common Crawl", "training", "an open archive that many train on"),
    Agent("Bytespider", "ByteDance", "training", "reported to ignore robots.txt"),
    Agent("cohere-training-data-crawler", "Cohere", "training"),
    Agent("AI2Bot", "Ai2", "training", "open models"),
    Agent("DeepSeekBot", "DeepSeek", "training", "reported to ignore robots.txt"),
)
"""The main agents, from ai-robots-txt/ai.robots.txt at 738c80d (MIT) and the operators' own pages."""


@dataclass(frozen=True, kw_only=True)
class RobotsPolicy:
    """For each purpose, whose crawlers may read the page and whose may not."""

    allowed: dict[Purpose, tuple[str, ...]]
    blocked: dict[Purpose, tuple[str, ...]]

    def share_allowed(self, purpose: Purpose) -> float:
        allowed, blocked = len(self.allowed[purpose]), len(self.blocked[purpose])
        return allowed / (allowed + blocked)

    def describe(self) -> str:
        return "; ".join(
            f"{purpose}: blocked {', '.join(self.blocked[purpose])}"
            if self.blocked[purpose]
            else f"{purpose}: all {len(self.allowed[purpose])} allowed"
            for purpose in PURPOSES
        )


def robots_policy(robots_txt: str, url: str) -> RobotsPolicy:
    """Judge a robots.txt for one page and every known agent (RFC 9309 matching, per agent)."""
    rules = _rules(robots_txt)
    allowed: dict[Purpose, list[str]] = {purpose: [] for purpose in PURPOSES}
    blocked: dict[Purpose, list[str]] = {purpose: [] for purpose in PURPOSES}
    for agent in AGENTS:
        (allowed if rules.can_fetch(url, agent.name) else blocked)[agent.purpose].append(agent.name)
    return RobotsPolicy(
        allowed={purpose: tuple(names) for purpose, names in allowed.items()},
        blocked={purpose: tuple(names) for purpose, names in blocked.items()},
    )


@lru_cache(maxsize=64)
def _rules(robots_txt: str) -> Protego:
    from protego import Protego

    return Protego.parse(robots_txt.lstrip("\ufeff"))


@dataclass(frozen=True, kw_only=True)
class Directives:
    """What meta robots and X-Robots-Tag forbid, for any agent that answers with the page."""

    noindex: bool
    nosnippet: bool
    max_snippet: int | None
    noai: bool


_SNIPPET = re.compile(r"max-snippet\s*:\s*(-?\d+)")
SHORT_SNIPPET = 50
"""A `max-snippet` of fewer characters leaves no room for a quoted sentence."""


def directives(text: str) -> Directives:
    """Read the directives of all meta robots tags and X-Robots-Tag headers of a page, joined by commas.

    Directives addressed to one agent (`bingbot: noindex`) count: some answers then lack the page.
    """
    lowered = text.lower()
    words = set(re.findall(r"[a-z]+", lowered))
    limits = [int(limit) for limit in _SNIPPET.findall(lowered)]
    limit = min((one for one in limits if one >= 0), default=None)
    return Directives(
        noindex="noindex" in words or "none" in re.split(r"[\s,:;]+", _without_previews(lowered)),
        nosnippet="nosnippet" in words or limit == 0,
        max_snippet=limit,
        noai="noai" in words,
    )


def _without_previews(text: str) -> str:
    return re.sub(r"max-(?:image|video)-preview\s*:\s*\S+", "", text)


def site_of(url: str) -> str:
    """Scheme-less host with port: what one robots.txt or llms.txt is valid for; empty where there is no address."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
