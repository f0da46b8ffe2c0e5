"""A planted cause is named first, its part is right, and where there is none, none is named."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import eval_worlds as world
import numpy as np
import polars as pl
import pytest

from liftos_pipelines.assets.eval import DEFAULT_SLOS
from liftos_pipelines.modules.eval.attribution import attribute, shapley
from liftos_pipelines.modules.eval.root_causes import (
    NONE_FOUND,
    UNEXPLAINED,
    explain,
    promise_incidents,
    sentiment_incidents,
)  # fmt: skip
from liftos_pipelines.modules.eval.trust import degraded, score

NAMES = {"brand": "Acme"}
NO_CAMPAIGN = world.campaigns(world.LAST.date()).clear()


def test_closed_form_parts_are_the_shapley_values_of_the_game() -> None:
    rng = np.random.default_rng(0)
    w0, w1, m0, m1 = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3)), rng.normal(size=3), rng.normal(size=3)

    def mean_with(moved: set[str]) -> float:
        shares = w1 if "mix" in moved else w0
        return float(sum(shares[g] * (m1[g] if f"level {g}" in moved else m0[g]) for g in range(3)))

    players = ["mix", "level 0", "level 1", "level 2"]
    parts = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for position, player in enumerate(order):
            before = set(order[:position])
            parts[player] += (mean_with(before | {player}) - mean_with(before)) / len(orders)
    level, mix = shapley(w0, w1, m0, m1)
    assert level == pytest.approx([parts[f"level {g}"] for g in range(3)])
    assert mix.sum() == pytest.approx(parts["mix"])
    assert level.sum() + mix.sum() == pytest.approx(w1 @ m1 - w0 @ m0)


def causes_of_alert(seed: int, **plant: object) -> pl.DataFrame:
    frames = world.sentiment_world(np.random.default_rng(seed), **plant)  # type: ignore[arg-type]
    frames["sentiment/alerts"] = world.alert()
    scores = score(DEFAULT_SLOS, frames, now=world.NOW, names=NAMES)
    return explain(sentiment_incidents(frames), scores, NO_CAMPAIGN, seed=seed)


def test_the_planted_campaign_is_named_first_with_its_part_of_the_drop() -> None:
    right, covered = 0, 0
    for seed in range(20):
        causes = causes_of_alert(seed, drop_campaign="spring", drop=0.6)
        first = causes.sort("rank").row(0, named=True)
        right += first["cause"] == "campaign_id = spring"
        covered += first["contribution"] is not None and first["low"] <= -0.3 * 0.6 * 1.0 <= first["high"]
        assert causes["contribution"].sum() == pytest.approx(causes["change"][0])
    assert right >= 18
    assert covered >= 13  # 90 % intervals; sentiment is clipped at -1, so the truth is a little smaller than .18


@pytest.mark.parametrize("everywhere", [0.0, 0.4])
def test_without_a_local_cause_none_is_named(everywhere: float) -> None:
    """Neither where nothing happened, nor where all segments fell alike: no segment is to blame for that."""
    named = 0
    for seed in range(40):
        causes = causes_of_alert(seed, everywhere=everywhere)
        found = set(causes["cause"].to_list())
        named += found != {NONE_FOUND, UNEXPLAINED}
    assert named <= 4


def test_blaming_the_largest_fall_names_a_cause_in_worlds_without_one() -> None:
    """The dummy: the segment with the most negative difference is always there."""
    blamed = 0
    for seed in range(10):
        frames = world.sentiment_world(np.random.default_rng(seed))
        rows = sentiment_incidents(frames | {"sentiment/alerts": world.alert()})[0].rows
        assert rows is not None
        recent = pl.col("at") > world.LAST - timedelta(days=7)
        gaps = (
            rows.join(frames["sources/mentions"].select("mention_id"), on="mention_id")
            .group_by("campaign_id").agg(pl.col("value").filter(recent).mean() - pl.col("value").filter(~recent).mean())
        )  # fmt: skip
        blamed += float(gaps["value"].min()) < 0  # type: ignore[arg-type]
    assert blamed >= 8


def test_a_bad_prompt_version_is_the_cause_of_lost_groundedness() -> None:
    right = 0
    for seed in range(10):
        frames = world.full_world(seed, grounded=0.74, bad_version_from=20, bad_drop=0.7)
        scores = score(DEFAULT_SLOS, frames, now=world.NOW, names=NAMES)
        broken = degraded(scores).filter(pl.col("slo") == "groundedness")
        causes = explain(promise_incidents(DEFAULT_SLOS, broken, frames), scores, NO_CAMPAIGN, seed=seed)
        right += causes.sort("rank")["cause"][0] == "prompt_version = v2 (new)"
    assert right >= 9


def test_a_broken_data_contract_comes_before_any_segment() -> None:
    from liftos_pipelines.modules.eval.trust import inventory
    from liftos_pipelines.modules.eval.views import INVENTORY

    frames = world.full_world(1) | world.sentiment_world(np.random.default_rng(1), drop_campaign="spring")
    frames["sentiment/alerts"] = world.alert()
    frames[INVENTORY] = inventory(frames, {"mentions": 900})
    scores = score(DEFAULT_SLOS, frames, now=world.NOW, names=NAMES)
    ranked = explain(sentiment_incidents(frames), scores, NO_CAMPAIGN).sort("rank")["cause"].to_list()
    elsewhere = scores.with_columns(pl.col("reason").str.replace("mentions", "llm_calls"))
    spared = explain(sentiment_incidents(frames), elsewhere, NO_CAMPAIGN).sort("rank")["cause"].to_list()
    assert spared[0] == "campaign_id = spring"  # unreadable calls say nothing about mentions
    assert ranked[:2] == ["data contract: quarantine_share", "campaign_id = spring"]


def test_a_number_without_rows_says_that_it_cannot_be_traced() -> None:
    frames = world.full_world(1)
    frames["causal/validation"] = frames["causal/validation"].with_columns(pl.lit(1.2).alias("value"))
    scores = score(DEFAULT_SLOS, frames, now=world.NOW, names=NAMES)
    broken = degraded(scores).filter(pl.col("slo") == "r_hat")
    row = explain(promise_incidents(DEFAULT_SLOS, broken, frames), scores, NO_CAMPAIGN).row(0, named=True)
    assert row["cause"] == NONE_FOUND
    assert row["contribution"] is None
    assert "Not traced" in row["evidence"]


def test_halved_supply_of_rows_is_reported_before_segments() -> None:
    frames = world.sentiment_world(np.random.default_rng(2))
    thin = frames["sources/mentions"].with_row_index("i").filter(
        (pl.col("published_at") < world.LAST - timedelta(days=7)) | (pl.col("i") % 4 == 0)
    )  # fmt: skip
    kept = thin.select("mention_id")
    frames |= {"sources/mentions": thin.drop("i"), "sentiment/alerts": world.alert(),
               "sentiment/mention_scores": frames["sentiment/mention_scores"].join(kept, on="mention_id", how="semi")}  # fmt: skip
    causes = explain(sentiment_incidents(frames), score([], frames, now=world.NOW), NO_CAMPAIGN).sort("rank")
    assert causes["cause"][0] == "data volume"


def test_two_days_are_not_enough_to_compare() -> None:
    day = pl.DataFrame({"day": [1, 1, 2, 2], "value": [1.0, 2.0, 1.0, 2.0], "source": ["a", "b", "a", "b"]})
    found = attribute(day, day.with_columns(pl.col("day") + 9), ["source"])
    assert not found.causes
    assert "insufficient data" in found.reason


def test_nothing_to_explain_gives_an_empty_table() -> None:
    assert sentiment_incidents(world.nothing()) == []
    assert explain([], score([], {}, now=world.NOW), NO_CAMPAIGN).is_empty()


@pytest.mark.slow
def test_planted_causes_and_silence_over_many_worlds() -> None:
    worlds = 300
    firsts = {
        "planted": [
            causes_of_alert(seed, drop_campaign="spring", drop=0.6).sort("rank")["cause"][0] for seed in range(worlds)
        ],
        "nothing": [causes_of_alert(seed)["cause"].to_list()[0] for seed in range(worlds)],
        "everywhere": [causes_of_alert(seed, everywhere=0.4)["cause"].to_list()[0] for seed in range(worlds)],
    }
    hit = np.mean([cause == "campaign_id = spring" for cause in firsts["planted"]])
    silent = {name: np.mean([cause == NONE_FOUND for cause in firsts[name]]) for name in ("nothing", "everywhere")}
    print(f"planted first {hit:.3f}, silent {silent}")
    assert hit >= 0.9
    assert min(silent.values()) >= 0.95
