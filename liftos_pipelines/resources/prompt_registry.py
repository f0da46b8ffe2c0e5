"""A client's prompts in MLflow's registry: versions by content, aliases that say which one serves, their history.

A rollout or a rollback is one move of an alias. Every move is noted beside the prompt before it is made, so that a
rollback knows what served before, also after a crash between the two and after a move by hand in MLflow's UI.
The registry is asked by the run's helper process where there is one, so that the run need not import MLflow.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from liftos_pipelines import helper
from liftos_pipelines.clients import check_client_id
from liftos_pipelines.resources.mlflow_store import experiment_of, open_store

PRODUCTION, CANDIDATE = "production", "candidate"
ALIASES = (PRODUCTION, CANDIDATE)
LABEL, NAME, HASH, MOVE = "liftos.label", "liftos.name", "liftos.template_sha256", "liftos.move"
"""Tags: a version's label and its template's hash, the prompt's own name, and one move of an alias each."""
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
REASON_LENGTH = 1000


class PromptError(ValueError):
    """A prompt, a version or an alias cannot be used as asked; the message says what there is instead."""


@dataclass(frozen=True, kw_only=True)
class PromptVersion:
    """One version. `label` is the `prompt_version` of recorded calls; None for one registered by hand in MLflow."""

    name: str
    version: int
    label: str | None
    template: str
    aliases: tuple[str, ...]
    created: datetime | None = None
    commit_message: str | None = None

    @property
    def template_hash(self) -> str:
        return template_hash(self.template)


@dataclass(frozen=True, kw_only=True)
class AliasMove:
    """One move of an alias; `from_version` None when it pointed nowhere. `moved` False: it stood there already."""

    name: str
    alias: str
    from_version: int | None
    to_version: int
    by: str = ""
    reason: str = ""
    at: datetime | None = None
    number: int = 0
    moved: bool = True


class PromptRegistry:
    """The prompts of one client. No call can name another client's prompt."""

    def __init__(self, uri: str, client: str) -> None:
        self._uri = uri
        self.client = check_client_id(client)

    def register(
        self,
        name: str,
        template: str,
        *,
        label: str | None = None,
        commit_message: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """The number of the version with this template and label: registered now, or already there.

        Raises
        ------
        PromptError : an empty name or template
        """
        if not name.strip() or not template.strip():
            raise PromptError(f"prompt {name!r}: a name and a template that is not blank are needed")
        for version in self.versions(name):
            if version.template == template and version.label == label:
                return version.version
        own = {NAME: name, HASH: template_hash(template)} | ({LABEL: label} if label else {})
        return helper.call(
            _register, self._uri, self.client, self._key(name), template, commit_message, dict(tags or {}) | own
        )

    def names(self) -> list[str]:
        """Names of this client's prompts, sorted."""
        return sorted(helper.call(_names, self._uri, f"{self.client}."))

    def versions(self, name: str) -> list[PromptVersion]:
        """All versions, oldest first; none when there is no such prompt."""
        return [PromptVersion(name=name, **found) for found in helper.call(_versions, self._uri, self._key(name))]

    def alias(self, name: str, alias: str) -> int | None:
        """The version that an alias names; None where it was never set."""
        return helper.call(_alias, self._uri, self._key(name), alias)

    def set_alias(self, name: str, alias: str, version: int, *, by: str, reason: str) -> AliasMove:
        """Move an alias to a version. Where it stands there already nothing is written.

        Raises
        ------
        PromptError : no such prompt or version, or a name that is not an alias, or nobody to answer for the move
        """
        if not _ALIAS.fullmatch(alias):
            raise PromptError(f"alias {alias!r}: use lower-case letters, digits, '-' and '_', such as {PRODUCTION}")
        if not by.strip() or not reason.strip():
            raise PromptError(f"{name}: a move of {alias} needs who moves it and why")
        known = [each.version for each in self.versions(name)]
        if version not in known:
            there = f"it has {', '.join(map(str, known))}" if known else "there is no such prompt"
            raise PromptError(f"{name}: version {version} is not registered ({there})")
        current = self.alias(name, alias)
        move = AliasMove(
            name=name, alias=alias, from_version=current, to_version=version, by=by, reason=reason[:REASON_LENGTH],
            at=datetime.now(UTC), moved=current != version,
        )  # fmt: skip
        if not move.moved:
            last = next((each for each in reversed(self.history(name, alias)) if each.to_version == version), None)
            return move if last is None else AliasMove(**{**asdict(last), "from_version": current, "moved": False})
        return helper.call(_move, self._uri, self._key(name), move)

    def previous(self, name: str, alias: str) -> int | None:
        """What the alias would go back to; None where there is nothing before what it names now."""
        return previous_version(self.history(name, alias), self.alias(name, alias))

    def rollback(self, name: str, alias: str = PRODUCTION, *, by: str, reason: str) -> AliasMove:
        """Move an alias back to what it named before.

        Raises
        ------
        PromptError : the alias is not set, or nothing stood there before
        """
        current = self.alias(name, alias)
        if current is None:
            raise PromptError(f"{name}: {alias} is not set, so there is nothing to roll back. Promote a version first.")
        before = self.previous(name, alias)
        if before is None:
            raise PromptError(
                f"{name}: nothing to roll back to: {alias} has named version {current} only. "
                "Promote another version instead."
            )
        return self.set_alias(name, alias, before, by=by, reason=reason)

    def history(self, name: str, alias: str) -> list[AliasMove]:
        """Every noted move of an alias, oldest first."""
        found = helper.call(_history, self._uri, self._key(name), alias)
        return [AliasMove(name=name, alias=alias, **move) for move in found]

    def _key(self, name: str) -> str:
        return registered_name(self.client, name)


def registered_name(client: str, name: str) -> str:
    """The name in MLflow: `<client>.<name>`; characters that MLflow refuses become `_`, told apart by a hash.

    A client's id has no dot, so that one client's prefix never begins another's name.
    """
    if _PLAIN.fullmatch(name):
        return f"{client}.{name}"
    return f"{client}.{re.sub('[^A-Za-z0-9_.-]', '_', name)}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def template_hash(template: str) -> str:
    return hashlib.sha256(template.encode()).hexdigest()


def previous_version(moves: Sequence[AliasMove], current: int | None) -> int | None:
    """What an alias named before `current`: moves are a pile, and going back takes from it.

    A noted move that was never made (a crash came between) and a move by hand that was never noted are both seen by
    comparing the pile's top with `current`.
    """
    pile: list[int] = []
    for move in moves:
        if pile and move.from_version is not None and pile[-1] != move.from_version:
            # The note before was not carried out, or the alias was moved by hand: what it named is what counts.
            pile = _trimmed(pile, move.from_version)
        if not pile and move.from_version is not None:
            pile.append(move.from_version)
        if len(pile) > 1 and pile[-2] == move.to_version:
            pile.pop()
        else:
            pile.append(move.to_version)
    if current is None:
        return None
    if pile and pile[-1] != current:
        pile = _trimmed(pile, current)
    return pile[-2] if len(pile) > 1 else None


def _trimmed(pile: list[int], current: int) -> list[int]:
    """The pile with `current` on top: what stood above it was not carried out; one never seen is put on it."""
    return pile[: len(pile) - pile[::-1].index(current)] if current in pile else [*pile, current]


# --- in the process that has MLflow ---


def _open(uri: str) -> Any:
    mlflow = open_store(uri)
    # The registry answers a search for a prompt that is not there with a warning besides the error.
    logging.getLogger("mlflow.tracking.client").setLevel(logging.WARNING)
    return mlflow


def _register(uri: str, client: str, key: str, template: str, commit_message: str | None, tags: dict[str, str]) -> int:
    mlflow = _open(uri)
    # MLflow shows a prompt in the experiment that is active when it is made.
    mlflow.set_experiment(experiment_id=experiment_of(mlflow, client))
    made = mlflow.MlflowClient().register_prompt(key, template, commit_message=commit_message, tags=tags)
    return int(made.version)


def _names(uri: str, prefix: str) -> list[str]:
    registry = _open(uri).MlflowClient()
    found, token = [], None
    while True:
        page = registry.search_prompts(f"name LIKE '{prefix}%'", max_results=200, page_token=token)
        # `_` in a client's id matches any character there.
        own = [prompt for prompt in page if prompt.name.startswith(prefix)]
        found += [prompt.tags.get(NAME) or prompt.name.removeprefix(prefix) for prompt in own]
        token = page.token
        if not token:
            return found


def _versions(uri: str, key: str) -> list[dict[str, Any]]:
    mlflow = _open(uri)
    registry = mlflow.MlflowClient()
    if registry.get_prompt(key) is None:
        return []
    numbers, token = [], None
    while True:
        page = registry.search_prompt_versions(key, max_results=200, page_token=token)
        numbers += [int(version.version) for version in page]
        token = page.token
        if not token:
            break
    # A search leaves out the aliases; each version by itself has them.
    return [_version(registry.get_prompt_version(key, number)) for number in sorted(numbers)]


def _version(found: Any) -> dict[str, Any]:
    created = found.creation_timestamp
    return {
        "version": int(found.version),
        "label": (found.tags or {}).get(LABEL),
        "template": found.template if isinstance(found.template, str) else json.dumps(found.template),
        "aliases": tuple(sorted(found.aliases or ())),
        "created": None if created is None else datetime.fromtimestamp(created / 1000, UTC),
        "commit_message": found.commit_message,
    }


def _alias(uri: str, key: str, alias: str) -> int | None:
    mlflow = _open(uri)
    try:
        return int(mlflow.MlflowClient().get_prompt_version_by_alias(key, alias).version)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def _history(uri: str, key: str, alias: str) -> list[dict[str, Any]]:
    prompt = _open(uri).MlflowClient().get_prompt(key)
    prefix = f"{MOVE}.{alias}."
    moves = []
    for tag, text in (prompt.tags if prompt else {}).items():
        if tag.startswith(prefix):
            move = json.loads(text)
            moves.append(move | {"number": int(tag.removeprefix(prefix)), "at": datetime.fromisoformat(move["at"])})
    return sorted(moves, key=lambda move: move["number"])


def _move(uri: str, key: str, move: AliasMove) -> AliasMove:
    registry = _open(uri).MlflowClient()
    number = max((each["number"] for each in _history(uri, key, move.alias)), default=0) + 1
    assert move.at is not None
    note = {
        "from_version": move.from_version,
        "to_version": move.to_version,
        "by": move.by,
        "reason": move.reason,
        "at": move.at.isoformat(),
    }
    registry.set_prompt_tag(key, f"{MOVE}.{move.alias}.{number:06d}", json.dumps(note, ensure_ascii=False))
    registry.set_prompt_alias(key, move.alias, move.to_version)
    return AliasMove(**{**asdict(move), "number": number})
