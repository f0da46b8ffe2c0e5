"""Industry templates: what a client of an industry starts from, as data that it can override.

A template holds the industry's vocabulary, the prompts worth asking assistants, the weights of the page audit
and default targets. `extends` names the template it builds on: mappings are merged, prompts are merged by
`id` (the nearer one wins, `drop: true` removes one), and every other value replaces the inherited one.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from liftos_pipelines.text import fold

FOLDER = Path(__file__).parent
BASE = "base"
CLIENT_FILE = "template.yaml"
"""A file of this name in a client's folder overrides its industry's template."""

PLACEHOLDERS = frozenset({"brand", "competitor", "category", "market", "problem", "audience", "attribute"})
_WEIGHT_TOLERANCE = 1e-9
_INTENTS = ("discovery", "comparison", "problem", "trend", "trust")
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ar", "hi")
"""Languages of topic keywords; hi is Hindi in Latin letters."""


class TemplateError(ValueError):
    """A template cannot be used; the message names the file, the field and the fix."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prompt(_Model):
    """A question worth asking; `text` may hold `{brand}`, `{competitor}`, `{category}`, `{market}`, `{problem}`,
    `{audience}` and `{attribute}`. A branded prompt names the brand, so its answers say nothing about discovery."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    text: Annotated[str, Field(min_length=8)]
    intent: Literal["discovery", "comparison", "problem", "trend", "trust"]
    stage: Literal["awareness", "consideration", "decision", "retention"]

    @property
    def branded(self) -> bool:
        return "{brand}" in self.text

    @field_validator("text")
    @classmethod
    def _known_placeholders(cls, value: str) -> str:
        used = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
        unknown = sorted(used - PLACEHOLDERS)
        if unknown:
            raise ValueError(f"unknown placeholder(s) {', '.join(unknown)}; known: {', '.join(sorted(PLACEHOLDERS))}")
        return value


class Vocabulary(_Model):
    """Words of the industry: what it is called, what people weigh, and how they state their need."""

    categories: Annotated[list[str], Field(min_length=1)]
    attributes: list[str] = []
    problems: list[str] = []
    audiences: list[str] = []


class Targets(_Model):
    """Default targets: `interval_width` is the widest acceptable 90 % interval of the brand's mention rate,
    `hallucinated_citations` the largest share of references to sources that do not exist, `audit_coverage`
    the smallest share of audit dimensions that could be measured."""

    interval_width: Annotated[float, Field(gt=0, le=1)]
    hallucinated_citations: Annotated[float, Field(ge=0, le=1)]
    audit_coverage: Annotated[float, Field(ge=0, le=1)]


class Template(_Model):
    """An industry's defaults. `slos` has the shape of `slos` in client.yaml and is overridden by it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    version: Annotated[int, Field(ge=1)]
    description: str
    markets: Annotated[list[str], Field(min_length=1)]
    vocabulary: Vocabulary
    prompts: Annotated[list[Prompt], Field(min_length=1)]
    audit_weights: Annotated[dict[str, float], Field(min_length=1)]
    metrics: list[str] = []
    targets: Targets
    slos: dict[str, Any] = {}
    causal: dict[str, Any] = {}
    """Defaults of the marketing-mix model, in the shape of `causal` in client.yaml; see `with_template`."""
    topics: dict[str, tuple[str, ...]] = {}
    """What people talk about: topic -> keywords of all languages together. In YAML a topic is a list, or a list a
    language; `null` drops an inherited topic. `word*` matches a beginning, `*word` an end, `!phrase` excludes."""

    @field_validator("topics", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return (
            {name: _flat_keywords(name, words) for name, words in value.items()} if isinstance(value, dict) else value
        )

    @field_validator("topics")
    @classmethod
    def _distinct_topics(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, keywords in value.items():
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
                raise ValueError(f'"{name}": a topic is named in small letters, digits and "_"')
            if not keywords:
                raise ValueError(f"{name}: needs a keyword; write `{name}: null` to drop an inherited topic")
            empty = [keyword for keyword in keywords if not re.search(r"[^\W_]", keyword)]
            if empty:
                raise ValueError(f'{name}: keyword "{empty[0]}" holds no word')
        clashes = _clashes(value)
        if clashes:
            raise ValueError("; ".join(clashes[:5]))
        return value

    @field_validator("audit_weights")
    @classmethod
    def _sum_to_one(cls, value: dict[str, float]) -> dict[str, float]:
        negative = [name for name, weight in value.items() if weight < 0]
        if negative:
            raise ValueError(f"{', '.join(negative)}: a weight cannot be negative")
        total = sum(value.values())
        if abs(total - 1) > _WEIGHT_TOLERANCE:
            raise ValueError(f"weights must sum to 1, they sum to {total:.10g}: change one by {1 - total:+.6g}")
        return value

    @model_validator(mode="after")
    def _distinct_prompts(self) -> Template:
        ids = [prompt.id for prompt in self.prompts]
        repeated = sorted({name for name in ids if ids.count(name) > 1})
        if repeated:
            raise ValueError(f"prompts: id(s) used twice: {', '.join(repeated)}")
        return self


def _flat_keywords(topic: str, words: Any) -> Any:
    if not isinstance(words, dict):
        return words
    unknown = sorted(str(code) for code in words if code not in LANGUAGES)
    if unknown:
        raise ValueError(f"{topic}: unknown language(s) {', '.join(unknown)}; known: {', '.join(LANGUAGES)}")
    lists = [one for one in words.values() if isinstance(one, list)]
    if len(lists) < len(words):
        raise ValueError(f"{topic}: each language holds a list of keywords, such as `en: [price, prices]`")
    return tuple(dict.fromkeys(keyword for one in lists for keyword in one))


def _clashes(topics: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Keywords that two topics claim. One may be part of the other: the longer keyword wins in a text."""
    exact: dict[str, tuple[str, str]] = {}
    found = []
    for name, keywords in topics.items():
        for keyword in keywords:
            other, said = exact.setdefault(" ".join(fold(keyword).split()), (name, keyword))
            if other != name:
                found.append(f'keyword "{keyword}" of {name} is also "{said}" of {other}: remove one')
    return found


def template_names() -> list[str]:
    """Names of the packaged templates."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load_template(industry: str | None = None, client_folder: Path | None = None) -> Template:
    """The template of an industry (absent: `base`), overridden by the client's own `template.yaml` if it has one.

    Raises
    ------
    TemplateError : unknown industry, unreadable YAML, a circular `extends`, or a field that breaks the model
    """
    name = industry or BASE
    own = client_folder / CLIENT_FILE if client_folder else None
    if own is None or not own.is_file():
        return _of_industry(name)
    found = own.stat()
    return _overridden(name, own, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _of_industry(name: str) -> Template:
    return _validate(_packaged(name), FOLDER / f"{name}.yaml")


# By the file's stamp: every asset asks, and a file that has not changed is not read again.
@lru_cache(maxsize=256)
def _overridden(name: str, own: Path, _inode: int, _changed: int, _size: int) -> Template:
    _packaged(name)  # an unknown industry is told also when the client's own file extends another
    override = _read(own)
    parent = override.pop("extends", name)
    return _validate(_merge(_packaged(str(parent), own), override), own)


def with_template(template: Template, client_causal: Mapping[str, Any]) -> dict[str, Any]:
    """The `causal` section of a client on top of its template's: a field that the client says is the client's whole.

    Nothing is merged below a field: half of one prior and half of another would be nobody's. Whether the whole is a
    model is judged where the model is read (`ModelSpec.from_config`).
    """
    return dict(template.causal) | dict(client_causal)


def prompt_panel(
    template: Template, *, brand: str, competitors: list[str], market: str | None = None
) -> list[dict[str, str]]:
    """Prompts filled in, one row each: prompt_id, prompt, intent, stage, branded.

    Every prompt is filled once for each value of its vocabulary placeholders and each competitor; ids are
    stable, so that answers to one wording stay comparable over time.
    """
    words = template.vocabulary
    values = {
        "brand": [brand],
        "competitor": competitors,
        "category": words.categories,
        "market": [market or template.markets[0]],
        "problem": words.problems,
        "audience": words.audiences,
        "attribute": words.attributes,
    }
    panel = []
    for prompt in template.prompts:
        used = [name for _, name, _, _ in string.Formatter().parse(prompt.text) if name]
        for number, filled in enumerate(_fillings(list(dict.fromkeys(used)), values), start=1):
            panel.append(
                {
                    "prompt_id": f"{prompt.id}-{number}",
                    "prompt": prompt.text.format(**filled),
                    "intent": prompt.intent,
                    "stage": prompt.stage,
                    "branded": str(prompt.branded).lower(),
                }
            )
    return panel


def describe(template: Template) -> str:
    """A template for reading in a terminal: what it weighs, asks, watches and how it knows topics."""
    stages = ("awareness", "consideration", "decision", "retention")
    counts = {(intent, stage): 0 for intent in _INTENTS for stage in stages}
    for prompt in template.prompts:
        counts[prompt.intent, prompt.stage] += 1
    width = max(map(len, (*_INTENTS, *template.audit_weights)))
    branded = sum(prompt.branded for prompt in template.prompts)
    lines = [f"{template.name} (version {template.version}): {template.description}", ""]
    lines += [f"markets     {', '.join(template.markets)}"]
    for name, words in template.vocabulary:
        lines.append(f"{name:<11} {', '.join(words)}")
    lines += ["", f"prompts     {len(template.prompts)}, {branded} of them name the brand"]
    lines += [f"{'':<{width}}  " + "".join(f"{stage:>15}" for stage in stages)]
    lines += [f"{one:<{width}}  " + "".join(f"{counts[one, stage]:>15}" for stage in stages) for one in _INTENTS]
    lines += [f"  {prompt.id:<24} {prompt.text}" for prompt in template.prompts]
    lines += ["", "weights of the page audit"]
    lines += [
        f"{name:<{width}}  {weight:>5.0%}  {'#' * round(50 * weight)}"
        for name, weight in template.audit_weights.items()
    ]
    lines += ["", "targets     " + ", ".join(f"{name} {value:g}" for name, value in template.targets)]
    lines += ["metrics     " + ", ".join(template.metrics), "", "topics (keywords in eight languages)"]
    lines += [f"  {name:<16} {len(words):>3}  {', '.join(words[:6])}, ..." for name, words in template.topics.items()]
    return "\n".join(lines)


def _fillings(names: list[str], values: Mapping[str, list[str]]) -> list[dict[str, str]]:
    filled: list[dict[str, str]] = [{}]
    for name in names:
        filled = [partial | {name: value} for partial in filled for value in values[name]]
    return filled


@lru_cache(maxsize=64)
def _packaged_text(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def _packaged(name: str, asked_by: Path | None = None, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    known = template_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f' (closest: "{close[0]}")' if close else ""
        where = f"{asked_by}: extends: " if asked_by else "industry: "
        raise TemplateError(f'{where}there is no template "{name}"{hint}. Known: {", ".join(known)}')
    if name in seen:
        raise TemplateError(f"{FOLDER / name}.yaml: extends: circular: {' -> '.join((*seen, name))}")
    content = _parse(_packaged_text(name), FOLDER / f"{name}.yaml")
    parent = content.pop("extends", None)
    return _merge(_packaged(str(parent), FOLDER / f"{name}.yaml", (*seen, name)), content) if parent else content


def _read(file: Path) -> dict[str, Any]:
    try:
        return _parse(file.read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{file}: not readable: {error}") from error


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise TemplateError(f"{file}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise TemplateError(f"{file}: expected fields such as `name: retail`, found {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _merge(parent: Mapping[str, Any], child: Mapping[str, Any], field: str = "") -> dict[str, Any]:
    merged = dict(parent)
    for key, value in child.items():
        inherited = merged.get(key)
        if field == "topics" and value is None:
            merged.pop(key, None)
        elif not field and key == "prompts" and isinstance(value, list) and isinstance(inherited, list):
            merged[key] = _merge_prompts(inherited, value)
        # Weights are one decision: half of one vector and half of another would not sum to 1. So is a prior.
        elif isinstance(value, dict) and isinstance(inherited, dict) and key != "audit_weights" and field != "causal":
            merged[key] = _merge(inherited, value, key)
        else:
            merged[key] = value
    return merged


def _merge_prompts(parent: list[Any], child: list[Any]) -> list[Any]:
    by_id = {_prompt_id(prompt, i): prompt for i, prompt in enumerate(parent)}
    for i, prompt in enumerate(child):
        identity = _prompt_id(prompt, len(parent) + i)
        if isinstance(prompt, dict) and prompt.get("drop") is True:
            by_id.pop(identity, None)
        else:
            by_id[identity] = prompt
    return list(by_id.values())


def _prompt_id(prompt: Any, position: int) -> Any:
    return prompt.get("id", position) if isinstance(prompt, dict) else position


def _validate(content: Mapping[str, Any], origin: Path) -> Template:
    try:
        return Template.model_validate(dict(content))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                close = difflib.get_close_matches(str(problem["loc"][-1]), Template.model_fields, n=1)
                message = "this field is not known" + (f' (closest: "{close[0]}")' if close else "")
            elif problem["type"] == "missing":
                message = "this field is required; add it"
            lines.append(f"{origin}: {field}: {message}")
        raise TemplateError("\n".join(lines)) from error
