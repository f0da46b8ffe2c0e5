"""A client's folder: `clients/<client>/client.yaml`, typed, with errors that name file, field and fix.

A client is a Dagster partition; `clients_partitions` is what every module asset is partitioned by. Reading the
client's data files is not here (see `resources/client_files.py`).
"""

from __future__ import annotations

import difflib
import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import dagster as dg
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from liftos_pipelines.settings import clients_folder
from liftos_pipelines.text import Name

clients_partitions = dg.DynamicPartitionsDefinition(name="clients")

# The C parser reads the same language eight times as fast, where PyYAML has it.
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CURRENCY = re.compile(r"[A-Z]{3}")
"""What stands for a currency itself; any other text names a column."""
CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class ClientError(ValueError):
    """A client's folder cannot be used; the message names the file, the field and the fix."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrandName(_Model):
    """A brand or competitor and the ways texts name it."""

    name: Annotated[str, Field(min_length=1)]
    aliases: list[str] = []
    domains: list[str] = []
    products: list[str] = []
    """Products that texts may name without their brand; each is followed on its own, and speaks for its brand."""
    common: bool | None = None
    """Whether the name is also an ordinary word ("Target"); absent: a list of common words decides."""

    def as_name(self) -> Name:
        return Name(
            name=self.name,
            aliases=tuple(self.aliases),
            domains=tuple(self.domains),
            products=tuple(self.products),
            common=self.common,
        )


class Brand(BrandName):
    competitors: list[BrandName] = []

    def names(self) -> list[Name]:
        """The brand first, then its competitors."""
        return [self.as_name(), *(competitor.as_name() for competitor in self.competitors)]


class SentimentSettings(_Model):
    """How mentions are read."""

    classifier: Annotated[str, Field(min_length=1)] = "packaged"
    """`packaged`, or a Hugging Face sequence classifier: a folder (relative to the client's) or a name on a hub."""
    encoder: Literal["auto", "never"] = "auto"
    """Whether the packaged classifier reads with its sentence encoder where that helps, or with n-grams alone."""
    download: bool = False
    """Allow the classifier's files to be fetched by name; without it, only files of this machine are used."""


class Guardrail(_Model):
    """How much worse a variant may be: `margin` in its unit, or, if `relative`, a share of the control's."""

    margin: Annotated[float, Field(gt=0)]
    relative: bool | None = None
    """Absent: shares for latency and cost, units for the rest."""


class ExperimentSettings(_Model):
    """A planned comparison of a prompt's variants; what is absent is read from the calls or stays open."""

    prompt: Annotated[str, Field(min_length=1)]
    by: Literal["variant", "prompt_version"] = "variant"
    split: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Planned share of each arm, the control first; they are brought to a sum of one."""
    primary: str | None = None
    minimal_effect: Annotated[float, Field(gt=0)] | None = None
    """Smallest difference worth shipping, in the primary metric's unit; also the half-width of what counts as equal."""
    guardrails: dict[str, Guardrail] = {}
    start: datetime | None = None
    """Calls before it are the past; they may serve as covariates."""
    horizon_units: Annotated[int, Field(gt=0)] | None = None
    horizon_days: Annotated[int, Field(gt=0)] | None = None
    allocation: Literal["fixed", "thompson"] = "fixed"
    exploration_floor: Annotated[float, Field(gt=0, le=0.5)] | None = None
    """Least share of each arm under Thompson allocation; 0.1 when absent."""
    covariates: bool = True
    """Whether what was known before the variant was chosen may reduce the variance."""

    @model_validator(mode="after")
    def _arms(self) -> ExperimentSettings:
        if len(self.split) == 1:
            raise ValueError(f"split names one arm ({next(iter(self.split))}): name the control first, then the others")
        return self


class LedgerSettings(_Model):
    """How long the record of decisions is kept."""

    retention_days: Annotated[int, Field(ge=183)] = 183
    """Entries younger than this cannot be retired; six months are the least."""


class JudgeSettings(_Model):
    """A model that judges groundedness beside the built-in one: a local folder, or an OpenAI-compatible endpoint."""

    path: str | None = None
    """Folder of an entailment classifier (Hugging Face format, safetensors), relative to the client's."""
    base_url: str | None = None
    """Of an OpenAI-compatible service, such as `http://localhost:8000/v1`; needs `model`."""
    model: str | None = None
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself never stands in a file."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    max_calls: Annotated[int, Field(ge=1)] = 200
    """Calls judged per materialisation, the newest first; what was judged is kept and not judged again."""
    redact: bool = True
    """Take personal data out of what is sent to an endpoint."""

    @model_validator(mode="after")
    def _one_place(self) -> JudgeSettings:
        if (self.path is None) == (self.base_url is None):
            raise ValueError("name either path (a local model) or base_url (a service)")
        if (self.base_url is None) != (self.model is None):
            raise ValueError("base_url and model belong together")
        return self


class LlmSettings(_Model):
    """How recorded calls of language models are judged."""

    experiments: dict[str, ExperimentSettings] = {}
    judge: dict[str, JudgeSettings] = {}
    """By a name of one's own, which the tables show."""


class FileSource(_Model):
    """Files of one source: a path, glob or URI, relative to the client's folder; the ending names the format."""

    path: Annotated[str, Field(min_length=1)]


class CallSource(FileSource):
    """Recorded calls: a table of them, or what another tool exports; the content tells which, unless it is stated."""

    format: Literal["calls", "otel", "mlflow", "langfuse"] | None = None
    """`calls` (a table as the contract has it), `otel` (OpenTelemetry GenAI spans), `mlflow` (traces), `langfuse`."""
    unit: Literal["user", "session"] | None = None
    """Whose id is the randomised unit where a call does not state one; absent: each call by itself."""


class MediaColumns(_Model):
    """Columns of one paid channel; without `exposure`, reach x frequency or else spend stands for exposure."""

    spend: str
    exposure: str | None = None
    reach: str | None = None
    """People reached in the row's time, each counted once."""
    frequency: str | None = None
    """How often each of them was reached, on average."""
    currency: str | None = None
    """Currency of this channel's spend, where it has its own: a code or a column."""

    @model_validator(mode="after")
    def _reach_with_frequency(self) -> MediaColumns:
        if (self.reach is None) != (self.frequency is None):
            said, missing = ("reach", "frequency") if self.reach else ("frequency", "reach")
            raise ValueError(f"{said} needs {missing} beside it: name both columns or neither")
        return self


class OrganicColumns(_Model):
    exposure: str


class MarketingSource(FileSource):
    """A wide table, one row a date (and geo), mapped to the canonical panel."""

    date: str
    geo: str | None = None
    outcome: str
    revenue_per_outcome: str | float | None = None
    population: str | float | None = None
    currency: str | None = None
    """Currency of revenue and spend: a code such as USD, or the column that says it."""
    channels: Annotated[dict[str, MediaColumns], Field(min_length=1)]
    organic: dict[str, OrganicColumns] = {}
    controls: list[str] = []


class Sources(_Model):
    marketing: MarketingSource | None = None
    experiments: FileSource | None = None
    mentions: FileSource | None = None
    labelled_mentions: FileSource | None = None
    campaigns: FileSource | None = None
    answers: FileSource | None = None
    pages: FileSource | None = None
    llm_calls: CallSource | None = None
    agents: FileSource | None = None
    agent_steps: FileSource | None = None
    outcomes: FileSource | None = None
    notes: FileSource | None = None


class ClientConfig(_Model):
    """`client.yaml`, section 4 of the input contract."""

    client: str
    industry: str | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    brand: Brand | None = None
    sources: Sources = Sources()
    causal: dict[str, Any] = {}
    sentiment: SentimentSettings = SentimentSettings()
    llm: LlmSettings = LlmSettings()
    slos: dict[str, Any] = {}
    policies: str | None = None
    ledger: LedgerSettings = LedgerSettings()
    folder: Annotated[Path, Field(exclude=True)]

    @field_validator("client")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        return check_client_id(value)

    @model_validator(mode="after")
    def _one_currency(self) -> ClientConfig:
        marketing = self.sources.marketing
        if marketing is None:
            return self
        said = {"currency": marketing.currency} | {
            f"channels.{name}.currency": channel.currency for name, channel in marketing.channels.items()
        }
        for place, currency in said.items():
            if currency and CURRENCY.fullmatch(currency) and currency != self.currency:
                raise ValueError(
                    f"sources.marketing.{place} is {currency}, but the client's currency is {self.currency}: "
                    "bring all money in one currency"
                )
        return self


def check_client_id(client: str) -> str:
    """The client id itself, if it is safe to name a folder, a partition and a table with.

    Raises
    ------
    ClientError : anything but lower-case letters, digits, `-` and `_`
    """
    if not CLIENT_ID.fullmatch(client):
        raise ClientError(
            f"client id {client!r} is not allowed: use 1 to 63 lower-case letters, digits, '-' or '_', "
            "beginning with a letter or digit"
        )
    return client


def list_clients(home: Path | None = None) -> list[str]:
    """Ids of the folders that hold a `client.yaml`, sorted."""
    root = clients_folder(home)
    if not root.is_dir():
        return []
    return sorted(
        entry.name for entry in root.iterdir() if (entry / "client.yaml").is_file() and CLIENT_ID.fullmatch(entry.name)
    )


def load_client(client: str, home: Path | None = None) -> ClientConfig:
    """Read and validate a client's `client.yaml`.

    Raises
    ------
    ClientError : unknown client, unreadable YAML, or a field that breaks the contract
    """
    check_client_id(client)
    file = clients_folder(home) / client / "client.yaml"
    if not file.is_file():
        known = list_clients(home)
        close = difflib.get_close_matches(client, known, n=1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        raise ClientError(
            f'there is no client "{client}": {file} does not exist.{hint} '
            f"Known clients: {', '.join(known) or 'none'}. Add one with `liftos client add {client}`."
        )
    config = read_client_file(file)
    if config.client != client:
        raise ClientError(
            f'{file}: client: "{config.client}" differs from the folder\'s name "{client}". Make them the same.'
        )
    return config


def read_client_file(file: Path) -> ClientConfig:
    """Validate one `client.yaml`, wherever it stands; `folder` becomes the file's folder."""
    try:
        found = file.stat()
    except OSError as error:
        raise ClientError(f"{file}: not readable: {error}") from error
    # The configuration is frozen and asked for by every asset: one that has not changed is not read again.
    return _read_client_file(file, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=256)
def _read_client_file(file: Path, _inode: int, _changed: int, _size: int) -> ClientConfig:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_YAML)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ClientError(f"{file}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ClientError(f"{file}: expected fields such as `client: acme`, found {type(content).__name__}")
    try:
        return ClientConfig(
            **{str(key): value for key, value in content.items() if key != "folder"}, folder=file.parent
        )
    except ValidationError as error:
        raise ClientError(_explain(file, error)) from error


def _explain(file: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            allowed = _allowed_fields(problem["loc"][:-1])
            close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
            message = "this field is not known" + (f' (closest: "{close[0]}")' if close else "")
            message += f". Allowed here: {', '.join(allowed)}" if allowed else ""
        elif problem["type"] == "missing":
            message = "this field is required; add it"
        else:
            message += f" (found {problem['input']!r})"
        lines.append(f"{file}: {field}: {message}")
    return "\n".join(lines)


def _allowed_fields(location: tuple[int | str, ...]) -> list[str]:
    """Names allowed at a place in client.yaml, following the models by the path of an error."""
    found: Any = ClientConfig
    for part in location:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(part))
            found = field.annotation if field else None
        else:
            # A list's entry or a mapping's value: the last thing its type is made of.
            found = (get_args(found) or (None,))[-1]
        while get_origin(found) in (Union, UnionType, Annotated):
            inner = get_args(found)[:1] if get_origin(found) is Annotated else get_args(found)
            found = next((one for one in inner if one is not type(None)), None)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        return []
    return [name for name in found.model_fields if name != "folder"]
