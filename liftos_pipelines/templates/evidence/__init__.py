"""The evidence catalogue: what studies found about each kind of action, failed replications included."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FILE = Path(__file__).parent / "catalogue.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Model):
    """A study or an operator's documentation; `holds` is whether it speaks for the action."""

    by: str
    year: Annotated[int, Field(ge=2000, le=2100)]
    what: str
    found: str
    holds: Literal["yes", "no", "mixed"]

    def __str__(self) -> str:
        return f"{self.by} ({self.year}): {self.found}"


class Action(_Model):
    """A kind of action, its mechanism, its grade and how a client would test it; `zero_sum` where one's gain is
    another's loss, so that an early gain shrinks as others follow."""

    action: str
    mechanism: str
    grade: Literal["A", "B", "C", "D"]
    zero_sum: bool
    kinds: list[str]
    test: str
    sources: Annotated[list[Source], Field(min_length=1)]

    @property
    def contradicted(self) -> bool:
        """Whether some source speaks against it."""
        return any(source.holds == "no" for source in self.sources)


class Catalogue(_Model):
    """All actions by name; each kind of recommendation belongs to one."""

    version: int
    actions: dict[str, Action]

    @model_validator(mode="after")
    def _one_action_a_kind(self) -> Catalogue:
        kinds = [kind for action in self.actions.values() for kind in action.kinds]
        repeated = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if repeated:
            raise ValueError(f"{FILE}: kinds: {', '.join(repeated)} belong to two actions: remove one")
        return self

    def by_kind(self) -> dict[str, Action]:
        """Kind of recommendation -> its action."""
        return {kind: action for action in self.actions.values() for kind in action.kinds}


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The packaged catalogue."""
    return Catalogue.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
