"""Which group each prompt belongs to: what it intends, where in the funnel it stands, whether it names the brand."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from liftos_pipelines.tables import ALL
from liftos_pipelines.text import Name, NameFinder, words

BRANDED, UNBRANDED = "branded", "unbranded"
GROUP_COLUMNS: dict[str, pl.DataType] = {"prompt_id": pl.String(), "dimension": pl.String(), "group": pl.String()}


def prompt_groups(answers: pl.DataFrame, panel: Sequence[dict[str, str]], brand: Name | None) -> pl.DataFrame:
    """The groups of every prompt asked: columns prompt_id, dimension, group; a prompt has one group a dimension.

    Intent and funnel stage come from the panel (rows of `templates.loader.prompt_panel`), joined by `prompt_id`, else
    by wording (case, accents and punctuation aside); a prompt that is not in it has neither. Whether a prompt names
    the brand is read from its own wording: answers to a branded prompt say nothing about being discovered.

    Parameters
    ----------
    answers : the table `sources/answers`
    panel : rows with prompt_id, prompt, intent, stage
    brand : the client's brand
    """
    asked = answers.group_by("prompt_id", maintain_order=True).agg(pl.col("prompt").drop_nulls().first())
    by_id = {row["prompt_id"]: row for row in panel}
    by_text = {_plain(row["prompt"]): row for row in panel}
    finder = NameFinder([brand]) if brand is not None else None
    rows: list[tuple[str, str, str]] = []
    for prompt_id, prompt in asked.select("prompt_id", "prompt").iter_rows():
        known = by_id.get(prompt_id) or by_text.get(_plain(prompt or ""))
        if known is not None:
            rows += [(prompt_id, name, f"{name}:{known[name]}") for name in ("intent", "stage") if known.get(name)]
        if finder is not None and prompt:
            rows.append((prompt_id, "wording", BRANDED if finder.find(prompt) else UNBRANDED))
    return pl.DataFrame(rows, schema=GROUP_COLUMNS, orient="row")


def members(groups: pl.DataFrame | None) -> dict[str, frozenset[str]]:
    """Prompts of each group, in a stable order; without `all`, which is everybody's."""
    if groups is None or groups.is_empty():
        return {}
    found: dict[str, set[str]] = {}
    for prompt_id, group in groups.sort("dimension", "group").select("prompt_id", "group").iter_rows():
        found.setdefault(group, set()).add(prompt_id)
    return {group: frozenset(prompts) for group, prompts in found.items() if group != ALL}


def _plain(text: str) -> str:
    return " ".join(words(text))
