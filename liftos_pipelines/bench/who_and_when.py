"""Who&When's failed multi-agent runs with the agent and step at fault, as failure attribution takes them.

Zhang et al. (2025), MIT. Both of its parts are read: names stand in `name` or, with what they were doing, in `role`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from liftos_pipelines.bench.figure import NoData
from liftos_pipelines.modules.agentic.attribution import Turn
from liftos_pipelines.modules.agentic.attribution_fit import Failure

_DOING = re.compile(r"\s*\(.*\)\s*$")
PEOPLE = ("human", "user")


def failures(folder: Path) -> list[Failure]:
    """The runs of one part, by number of their file.

    Raises
    ------
    NoData : the folder holds none
    """
    files = sorted(folder.glob("*.json"), key=lambda file: (len(file.stem), file.stem))
    if not files:
        raise NoData(f"{folder}: no runs of Who&When")
    return [_failure(json.loads(file.read_text(encoding="utf-8"))) for file in files]


def speaker(entry: dict[str, Any]) -> str:
    """Who speaks in an entry of a history."""
    return str(entry["name"]) if entry.get("name") else _DOING.sub("", str(entry["role"]))


def _failure(run: dict[str, Any]) -> Failure:
    turns = tuple(
        # What a person asked cannot be at fault; it is read as what the run was given.
        Turn(step=number, agent=name, text=str(entry["content"]), result=name.lower() in PEOPLE)
        for number, entry in enumerate(run["history"])
        for name in [speaker(entry)]
    )
    return Failure(
        turns=turns,
        agent=_DOING.sub("", str(run["mistake_agent"])),
        step=int(run["mistake_step"]),
        group=str(run.get("question_ID") or run.get("question")),
    )
