"""Which assistants' crawlers a site lets in, by what they crawl for."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

CRAWLERS: dict[str, tuple[str, ...]] = {
    # Decides whether a page can be found and cited in answers.
    "search": ("OAI-SearchBot", "Claude-SearchBot", "PerplexityBot", "Googlebot", "Bingbot", "Applebot"),
    # Fetches a page when a user asks about it.
    "user": ("ChatGPT-User", "Claude-User", "Perplexity-User", "MistralAI-User"),
    # Collects training data: allowing it is a choice, not a matter of being cited.
    "training": ("GPTBot", "ClaudeBot", "Google-Extended", "Applebot-Extended", "CCBot", "Meta-ExternalAgent"),
}
"""Agents by class, after ai-robots-txt/ai.robots.txt at 738c80d (MIT) and the operators' own pages."""


@dataclass(frozen=True, kw_only=True)
class RobotsPolicy:
    """For each class of crawler, who may read the page and who may not."""

    allowed: dict[str, tuple[str, ...]]
    blocked: dict[str, tuple[str, ...]]

    def share_allowed(self, kind: str) -> float:
        allowed, blocked = len(self.allowed[kind]), len(self.blocked[kind])
        return allowed / (allowed + blocked)

    def describe(self) -> str:
        return "; ".join(
            f"{kind}: all allowed" if not self.blocked[kind] else f"{kind}: blocked {', '.join(self.blocked[kind])}"
            for kind in CRAWLERS
        )


def robots_policy(robots_txt: str, url: str) -> RobotsPolicy:
    """Judge a robots.txt for one page and every known agent (RFC 9309 matching, per agent)."""
    from protego import Protego

    rules = Protego.parse(robots_txt)
    allowed = {
        kind: tuple(agent for agent in agents if rules.can_fetch(url, agent)) for kind, agents in CRAWLERS.items()
    }
    blocked = {
        kind: tuple(agent for agent in agents if agent not in allowed[kind]) for kind, agents in CRAWLERS.items()
    }
    return RobotsPolicy(allowed=allowed, blocked=blocked)


def site_of(url: str) -> str:
    """Scheme-less host with port: what one robots.txt or llms.txt is valid for."""
    return urlsplit(url).netloc.lower()
