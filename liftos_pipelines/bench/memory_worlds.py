"""Worlds whose effects were planted, asked in words that memory never stored: what patterns said, and what was true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import optimize, special

from liftos_pipelines.modules.memory.learning.evidence import Evidence, gather, without
from liftos_pipelines.modules.memory.learning.patterns import Query, find_patterns
from liftos_pipelines.modules.memory.records import from_sources, history, items
from liftos_pipelines.simulate import outcomes as world
from liftos_pipelines.simulate.setting import CAMPAIGNS
from liftos_pipelines.tables import table
from liftos_pipelines.text import Name, NameFinder

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Encode = Callable[[list[str]], NDArray[np.float32]]

NAMES = NameFinder([Name(name=campaign.name) for campaign in CAMPAIGNS])
KINDS = {situation.kind: situation for situation in world.SITUATIONS}
TOLERANCE = 0.005


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was said and what is true; `*_world` is the world of each, worlds being independent.

    said, rate, counted : chance of success said, true rate, and chance by counting successes, of each judged action
    """

    answered: Array
    answered_world: Ints
    unknown_answered: Array
    unknown_world: Ints
    best: Array
    best_world: Ints
    chance: float
    sure_right: Array
    sure_world: Ints
    sure_base: float
    said: Array
    rate: Array
    counted: Array
    covered: Array
    rate_world: Ints
    base_rate: float

    @property
    def slope(self) -> float:
        """Slope of the true rate's logit on the logit that was said: 1 is calibrated, above 1 too timid."""
        logit = special.logit(np.clip(self.said, 1e-6, 1 - 1e-6))

        def loss(found: Array) -> float:
            margin = found[0] + found[1] * logit
            return float((self.rate * np.logaddexp(0, -margin) + (1 - self.rate) * np.logaddexp(0, margin)).mean())

        return float(optimize.minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead").x[1])


def ask_worlds(seeds: range, encode: Encode) -> Told:
    """Ask every world its queries, with all it knows and with the query's own kind of situation taken out."""
    found: dict[str, list[Any]] = {name: [] for name in ("answered", "unknown", "best", "sure", "rate")}
    chances, bases = [], []
    for seed in seeds:
        made = world.generate(seed)
        held = _remembered(made)
        evidence = gather(held, encode, NAMES)
        contexts = dict(held.select("memory_id", "context").iter_rows())
        kinds = np.array([_kind_of(contexts[str(name)]) for name in evidence.ids])
        bases.append(float(evidence.success.mean()))
        for row in _asked(evidence, made.queries, encode):
            kind = KINDS[row["kind"]]
            said: pl.DataFrame = row["said"]
            found["answered"].append((seed, float(said.height > 0)))
            if not said.height:
                continue
            found["best"].append((seed, float(said.sort("p_success", descending=True)["action"][0] == kind.best)))
            chances.append(1 / len(kind.effects))
            for judged in said.iter_rows(named=True):
                effect = kind.effects.get(judged["action"], 0.0)
                rate = float(special.ndtr(effect / world.BETWEEN_OCCASIONS_SD))
                low, high = judged["p_success_low"] - TOLERANCE, judged["p_success_high"] + TOLERANCE
                counted = _counted(evidence, judged)
                found["rate"].append((seed, judged["p_success"], rate, counted, float(low <= rate <= high)))
                if judged["confidence"] > 0.8 and effect != 0:
                    found["sure"].append((seed, float((judged["p_success"] > 0.5) == (effect > 0)), float(effect > 0)))
        for kind_name in KINDS:
            rest = without(evidence, kinds == kind_name)
            queries = [query for query in made.queries if query["kind"] == kind_name]
            found["unknown"] += [(seed, float(row["said"].height > 0)) for row in _asked(rest, queries, encode)]
    told = {name: np.array(rows, dtype=float) for name, rows in found.items()}
    up = float(told["sure"][:, 2].mean())
    return Told(
        answered=told["answered"][:, 1],
        answered_world=told["answered"][:, 0].astype(int),
        unknown_answered=told["unknown"][:, 1],
        unknown_world=told["unknown"][:, 0].astype(int),
        best=told["best"][:, 1],
        best_world=told["best"][:, 0].astype(int),
        chance=float(np.mean(chances)),
        sure_right=told["sure"][:, 1],
        sure_world=told["sure"][:, 0].astype(int),
        sure_base=max(up, 1 - up),
        said=told["rate"][:, 1],
        rate=told["rate"][:, 2],
        counted=told["rate"][:, 3],
        covered=told["rate"][:, 4],
        rate_world=told["rate"][:, 0].astype(int),
        base_rate=float(np.mean(bases)),
    )


def _asked(evidence: Evidence, queries: list[dict[str, Any]], encode: Encode) -> list[dict[str, Any]]:
    asked = [Query(query_id=query["query_id"], kind="test", context=query["text"]) for query in queries]
    found = find_patterns(asked, evidence, encode, NAMES).filter(~pl.col("abstained"))
    return [{**query, "said": found.filter(pl.col("query_id") == query["query_id"])} for query in queries]


def _counted(evidence: Evidence, judged: dict[str, Any]) -> float:
    """Mean of a Beta posterior that counts each memory behind an answer as a success or not, all alike."""
    behind = np.isin(evidence.ids, judged["memory_ids"])
    success = evidence.success[behind]
    return float((evidence.success.mean() + success.sum()) / (1 + success.size))


def _remembered(made: Any) -> pl.DataFrame:
    contract = table("sources/outcomes")
    frame = pl.DataFrame([{c: row.get(c) for c in contract.columns} for row in made.rows], infer_schema_length=None)
    if frame.schema["decided_at"] == pl.String:
        frame = frame.with_columns(pl.col("decided_at").str.to_datetime(time_zone="UTC", time_unit="us"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return history.remember(items.empty_items(), from_sources.outcomes(contract.conform(frame)), now).added


def _kind_of(context: str) -> str:
    """The kind of situation whose wording a stored context has."""
    for kind in KINDS.values():
        for wording in kind.contexts:
            parts = wording.replace("{product}", "{campaign}").split("{campaign}")
            place = 0
            for part in parts:
                place = context.find(part, place)
                if place < 0:
                    break
                place += len(part)
            else:
                return kind.kind
    raise LookupError(f"no kind of situation is worded like {context!r}")
