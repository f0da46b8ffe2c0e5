"""Who may ask the gate over HTTP: bearer tokens by client, of agents and of people, kept as hashes.

The file is `LIFTOS_GATE_TOKENS`, by default `gate_tokens.json` in `LIFTOS_HOME`. A token is 256 random bits, so a plain
SHA-256 of it is enough; it is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from liftos_pipelines import settings

VARIABLE = "LIFTOS_GATE_TOKENS"
PREFIX = "lgt_"


class TokenProblem(ValueError):
    """The file of tokens cannot be used; the message says why and what to do."""


class Holder(BaseModel):
    """Whom a token stands for: an agent's runtime, which asks and settles, or a person, who decides on approvals.

    `agents` are those that it may ask for (`*`: all of the client); `roles` those of a person that policies name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, max_length=128)
    client: str
    kind: Literal["agent", "person"]
    agents: tuple[str, ...] = ("*",)
    roles: tuple[str, ...] = ()
    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    def may_ask_for(self, agent_id: str) -> bool:
        return "*" in self.agents or agent_id in self.agents


class Tokens:
    """The file of tokens, read again when it was changed: a revoked one is refused at once."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or tokens_file()
        self._mark: tuple[int, int] | None = None
        self._holders: tuple[Holder, ...] = ()

    def holder(self, token: str) -> Holder | None:
        """Whose token this is; every known hash is compared, each in constant time."""
        asked, found = _hash(token), None
        for each in self.holders():
            if hmac.compare_digest(each.sha256, asked):
                found = each
        return found

    def holders(self) -> tuple[Holder, ...]:
        """Everybody who has a token.

        Raises
        ------
        TokenProblem : the file is not readable as what it should be
        """
        try:
            said = self.file.stat()
        except FileNotFoundError:
            return ()
        mark = (said.st_mtime_ns, said.st_size)
        if mark != self._mark:
            try:
                read = json.loads(self.file.read_text(encoding="utf-8"))
                self._holders = tuple(Holder.model_validate(each) for each in read)
            except (OSError, ValueError, ValidationError) as error:
                raise TokenProblem(f"{self.file}: not a file of tokens: {error}") from error
            self._mark = mark
        return self._holders

    def add(
        self,
        name: str,
        client: str,
        kind: Literal["agent", "person"],
        *,
        agents: tuple[str, ...] = ("*",),
        roles: tuple[str, ...] = (),
    ) -> str:
        """A new token, in clear; the file keeps its hash.

        Raises
        ------
        TokenProblem : the name has one already
        """
        if any((each.name, each.client) == (name, client) for each in self.holders()):
            raise TokenProblem(f"{name} has a token for {client} already; revoke it first")
        token = PREFIX + secrets.token_urlsafe(32)
        holder = Holder(name=name, client=client, kind=kind, agents=agents, roles=roles, sha256=_hash(token))
        self._save((*self.holders(), holder))
        return token

    def revoke(self, name: str, client: str) -> bool:
        """Take a token back; False when there was none."""
        left = tuple(each for each in self.holders() if (each.name, each.client) != (name, client))
        found = len(left) < len(self.holders())
        if found:
            self._save(left)
        return found

    def _save(self, holders: tuple[Holder, ...]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        content = json.dumps([each.model_dump() for each in holders], indent=2)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content + "\n")
        partial.replace(self.file)
        self._mark = None


def tokens_file() -> Path:
    said = os.environ.get(VARIABLE)
    return Path(said).expanduser() if said else settings.home() / "gate_tokens.json"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
