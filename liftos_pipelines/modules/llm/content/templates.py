"""Content templates as data: which measures a text of a purpose is held to, and within which bounds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liftos_pipelines.modules.llm.content.measures import MEASURES


class ContentError(ValueError):
    """A content template cannot be used; the message names the file, the template, the field and the fix."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A measure and the bounds it must keep; a bound that is None is open."""

    measure: str
    at_least: float | None
    at_most: float | None

    def met(self, value: float | None) -> bool | None:
        """None where the measure could not be taken."""
        if value is None:
            return None
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    @property
    def goal(self) -> str:
        """The bounds in words."""
        sides = ((">=", self.at_least), ("<=", self.at_most))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in sides if bound is not None)


@dataclass(frozen=True, kw_only=True)
class ContentTemplate:
    """`names` are other words for the purpose, by which a call is told to be of it."""

    name: str
    names: frozenset[str]
    rules: tuple[Rule, ...]


def content_templates(
    content: Any, *, file: str, base: Mapping[str, ContentTemplate] | None = None
) -> dict[str, ContentTemplate]:
    """Typed templates from what a YAML file holds, before those of `base`; one of the same name is replaced.

    Raises
    ------
    ContentError : a measure or field is unknown, or a bound is no number
    """
    if not isinstance(content, Mapping):
        raise ContentError(f"{file}: expected templates by name, found {type(content).__name__}")
    templates: dict[str, ContentTemplate] = {}
    for name, body in content.items():
        where = f"{file}: {name}"
        if (
            not isinstance(body, Mapping)
            or set(body) - {"names", "rules"}
            or not isinstance(body.get("rules"), Mapping)
        ):
            raise ContentError(f"{where}: give `rules` (measure: bounds) and, if need be, `names`, nothing else")
        names = body.get("names", [])
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise ContentError(f"{where}.names: expected a list of words, found {names!r}")
        rules = tuple(_rule(measure, bounds, where) for measure, bounds in body["rules"].items())
        own = frozenset({str(name), *(each.lower() for each in names)})
        templates[str(name)] = ContentTemplate(name=str(name), names=own, rules=rules)
    # A call that two templates could claim is of the first: the client's own.
    return templates | {name: template for name, template in (base or {}).items() if name not in templates}


def template_of(
    use_case: str | None, prompt_name: str | None, templates: Mapping[str, ContentTemplate]
) -> ContentTemplate | None:
    """The template of a call: by its use case, else by a word of its prompt's name; None where neither names one."""
    for said in (use_case, prompt_name):
        if not said:
            continue
        spelt = said.strip().lower().replace("-", "_").replace(" ", "_")
        whole = next((each for each in templates.values() if spelt in each.names), None)
        found = whole or next((each for each in templates.values() if each.names & set(spelt.split("_"))), None)
        if found is not None:
            return found
    return None


def _rule(measure: Any, bounds: Any, where: str) -> Rule:
    if measure not in MEASURES:
        close = difflib.get_close_matches(str(measure), MEASURES, n=1)
        hint = f' (closest: "{close[0]}")' if close else ""
        raise ContentError(f"{where}.rules.{measure}: there is no such measure{hint}. Measures: {', '.join(MEASURES)}")
    if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"at_least", "at_most"}:
        raise ContentError(f"{where}.rules.{measure}: give at_least, at_most or both, found {bounds!r}")
    for name, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or bound != bound:
            raise ContentError(f"{where}.rules.{measure}.{name}: expected a number, found {bound!r}")
    low, high = bounds.get("at_least"), bounds.get("at_most")
    if low is not None and high is not None and low > high:
        raise ContentError(
            f"{where}.rules.{measure}: at_least {low:g} lies above at_most {high:g}; nothing can keep both"
        )
    return Rule(measure=str(measure), at_least=low, at_most=high)
