"""Service-level objectives as data: what is promised of each module, read from YAML, typed, versioned.

A promise names a table and a *named* metric over it (see `metrics.METRICS`), never code. The packaged defaults
are `liftos_pipelines/slos/default.yaml`; a client overrides thresholds or adds its own under `slos:` in its
`client.yaml`. This file parses text that it is handed; reading the files is the asset's business.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from liftos_pipelines.modules.eval.metrics import METRICS
from liftos_pipelines.modules.eval.views import INVENTORY
from liftos_pipelines.tables import TABLES

MODULES = ("sources", "causal", "sentiment", "surfacing", "llm", "agentic", "memory", "eval")


class SloError(ValueError):
    """A promise cannot be used; the message names the file, the field and the fix."""


class Slo(BaseModel):
    """One promise: `metric` of `table` over `window` is `direction` `threshold`.

    `window` is the span of data that counts, back from the newest row (`28d`, `12w`; empty: all of it).
    Below `min_n` observations there is no verdict. `version` changes whenever the meaning does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    module: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
    table: str
    metric: str
    params: dict[str, Any] = {}
    direction: Literal["at_least", "at_most"]
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    window: str = ""
    owner: Annotated[str, Field(min_length=1)]
    min_n: Annotated[int, Field(ge=1)]
    version: Annotated[int, Field(ge=1)] = 1
    unit: Literal["share", "hours", "ms", ""] = ""
    description: str = ""

    @field_validator("module")
    @classmethod
    def _known_module(cls, value: str) -> str:
        return _one_of(value, MODULES, "module")

    @field_validator("table")
    @classmethod
    def _known_table(cls, value: str) -> str:
        return _one_of(value, (*TABLES, INVENTORY), "table")

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        return _one_of(value, tuple(METRICS), "metric")

    @field_validator("window")
    @classmethod
    def _readable_window(cls, value: str) -> str:
        if value and not re.fullmatch(r"[1-9]\d{0,3}[dw]", value):
            raise ValueError('write a number of days or weeks, such as "28d" or "12w", or leave it empty')
        return value

    @model_validator(mode="after")
    def _params_fit(self) -> Slo:
        METRICS[self.metric].check(self.params)
        return self

    @property
    def key(self) -> str:
        """`module.name`, what a client's override is keyed by."""
        return f"{self.module}.{self.name}"

    @property
    def span(self) -> timedelta | None:
        """The window as a duration; None for all data."""
        if not self.window:
            return None
        count = int(self.window[:-1])
        return timedelta(days=count if self.window[-1] == "d" else 7 * count)


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> str:
    if value in allowed:
        return value
    close = difflib.get_close_matches(value, allowed, n=1, cutoff=0.4)
    hint = f' (closest: "{close[0]}")' if close else ""
    raise ValueError(f'there is no {what} "{value}"{hint}. Known: {", ".join(allowed)}')


def parse_slos(text: str, file: str) -> tuple[Slo, ...]:
    """The promises written in one YAML file: `module: {name: {table: ..., metric: ..., ...}}`.

    Raises
    ------
    SloError : unreadable YAML or a field that breaks the contract, naming `file` and the field
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SloError(f"{file}: not readable as YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(group, dict) for group in content.values()):
        raise SloError(f"{file}: expected `module:` with `name:` entries below it")
    return tuple(
        _build(entry, module=str(module), name=str(name), where=f"{file}: {module}.{name}")
        for module, group in content.items()
        for name, entry in group.items()
    )


def with_overrides(defaults: tuple[Slo, ...], overrides: Mapping[str, Any], file: str) -> tuple[Slo, ...]:
    """Defaults with a client's `slos:` applied, keyed `module.name`.

    A number replaces the threshold; `false` (or `off`) drops the promise; a mapping replaces the fields it
    names, or, under a key that no default has, defines a new promise.

    Raises
    ------
    SloError : a key that is not `module.name`, or a field that breaks the contract
    """
    by_key = {slo.key: slo for slo in defaults}
    for key, value in overrides.items():
        where = f"{file}: slos.{key}"
        module, dot, name = str(key).partition(".")
        known = by_key.get(str(key))
        if not dot:
            raise SloError(f"{where}: write it as module.name, such as `llm.latency_p95`")
        if value is False:
            if known is None:
                raise SloError(f"{where}: nothing to switch off{_closest(str(key), by_key)}")
            del by_key[str(key)]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if known is None:
                raise SloError(
                    f"{where}: there is no such default to give a threshold to{_closest(str(key), by_key)}. "
                    "A new promise needs table, metric, direction, threshold, owner and min_n."
                )
            by_key[str(key)] = _build(
                known.model_dump(exclude={"module", "name"}) | {"threshold": value},
                module=module,
                name=name,
                where=where,
            )
        elif isinstance(value, dict):
            base = known.model_dump(exclude={"module", "name"}) if known else {}
            by_key[str(key)] = _build(base | value, module=module, name=name, where=where)
        else:
            raise SloError(f"{where}: expected a threshold, `false`, or fields; found {value!r}")
    return tuple(by_key.values())


def _closest(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.4)
    return f' (closest: "{close[0]}")' if close else ""


def _build(entry: Any, *, module: str, name: str, where: str) -> Slo:
    if not isinstance(entry, dict):
        raise SloError(f"{where}: expected fields (table, metric, direction, ...), found {entry!r}")
    try:
        return Slo(**{"module": module, "name": name} | {str(key): value for key, value in entry.items()})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = f"this field is not known{_closest(field, Slo.model_fields)}"
            elif problem["type"] == "missing":
                message = "this field is required; add it"
            lines.append(f"{where}{'.' + field if field else ''}: {message}")
        raise SloError("\n".join(lines)) from error
