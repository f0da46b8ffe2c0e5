from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from liftos_pipelines.assets.ingestion import ingest_marketing, ingest_source
from liftos_pipelines.clients import read_client_file
from liftos_pipelines.simulate import (
    agent_teams,
    agents,
    answers,
    llm,
    llm_texts,
    marketing,
    marketing_truth,
    mentions,
    outcomes,
    spend_decisions,
)
from liftos_pipelines.simulate.phrases import LANGUAGES
from liftos_pipelines.simulate.setting import BRAND, BRAND_DOMAIN, INCIDENT, NOW, PRODUCTS
from liftos_pipelines.simulate.world import write_client
from liftos_pipelines.tables import SOURCES

Demo = tuple[Path, dict[str, Any]]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def jsonl(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_world(demo: Demo, tmp_path: Path) -> None:
    first = digests(demo[0])
    write_client(tmp_path / "again" / "demo", seed=7)
    assert digests(tmp_path / "again" / "demo") == first
    write_client(tmp_path / "other" / "demo", seed=8)
    other = digests(tmp_path / "other" / "demo")
    assert set(other) == set(first)
    drawn = [name for name in first if name.startswith("data/") and "/pages/" not in name]
    same = {name for name in drawn if other[name] == first[name]}
    assert same == {"data/agents.yaml"}  # the agents themselves are not drawn


def test_the_returned_truth_is_the_written_one(demo: Demo) -> None:
    assert json.loads((demo[0] / "truth.json").read_text(encoding="utf-8")) == demo[1]


def test_every_source_loads_without_a_failed_check_or_a_row_set_aside(demo: Demo) -> None:
    client = read_client_file(demo[0] / "client.yaml")
    marketing = client.sources.marketing
    assert marketing is not None
    ingests = [ingest_marketing(client, marketing, NOW)]
    for source in type(client.sources).model_fields:
        configured = getattr(client.sources, source)
        assert configured is not None, f"the demo client should bring {source}"
        if source != "marketing":
            ingests.append(ingest_source(client, source, configured, NOW))
    for ingest in ingests:
        assert ingest.failures() == []
        warnings = [v.message for own in ingest.verdicts.values() for v in own if not v.passed]
        assert warnings == [], ingest.source
        assert ingest.quarantine.is_empty(), ingest.source
        assert all(not table.is_empty() for table in ingest.tables.values())
    assert {name.split("/")[1] for ingest in ingests for name in ingest.tables} == set(SOURCES)


def test_no_source_reads_the_truth(demo: Demo) -> None:
    client = yaml.safe_load((demo[0] / "client.yaml").read_text(encoding="utf-8"))
    paths = [source["path"] for source in client["sources"].values()]
    assert all(path.startswith("data/") for path in paths)
    assert not [file for file in (demo[0] / "data").rglob("*") if "truth" in file.name]


# --- mentions ------------------------------------------------------------------------------------------------


def spoken(demo: Demo) -> pl.DataFrame:
    """Mentions with their true class as -1, 0, 1."""
    folder, _ = demo
    rows = pl.read_parquet(folder / "data" / "mentions" / "*.parquet")
    classes = pl.read_csv(folder / "truth_mentions.csv")
    signs = pl.col("label").replace_strict({"negative": -1.0, "neutral": 0.0, "positive": 1.0})
    return rows.join(classes, on="mention_id").with_columns(net=signs, date=pl.col("published_at").dt.date())


def test_the_incident_is_seen_on_its_campaign_and_on_no_other(demo: Demo) -> None:
    rows = spoken(demo).with_columns(campaign=pl.col("campaign_id").fill_null("none"))
    before = rows.filter(pl.col("date").is_between(pl.date(2025, 8, 11), pl.date(2025, 9, 7)))
    during = rows.filter(pl.col("date").is_between(INCIDENT.start, INCIDENT.end))
    drops = {
        campaign: float(before.filter(pl.col("campaign") == campaign)["net"].mean() - part["net"].mean())
        for (campaign,), part in during.group_by(["campaign"])
    }
    assert len(drops) >= 3
    hit = drops.pop(INCIDENT.campaign_id)
    assert hit == pytest.approx(INCIDENT.net_drop, abs=0.2)
    assert max(abs(drop) for drop in drops.values()) < 0.2


def test_a_days_noise_is_autoregressive_as_stated() -> None:
    net = mentions.generate(3).net.filter(pl.col("campaign_id") == "none")["net_sentiment"].to_numpy()
    noise = net - net.mean()
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(mentions.RHO, abs=0.1)
    assert noise.std() == pytest.approx(mentions.DAY_SD, rel=0.15)


def test_texts_differ_and_labelled_sentences_are_never_used_in_mentions(demo: Demo) -> None:
    rows = spoken(demo)
    assert rows["text"].n_unique() > 0.9 * rows.height
    texts = "\n".join(rows["text"])
    for phrases in LANGUAGES.values():
        for label in mentions.CLASSES:
            for core in getattr(phrases, label)[: mentions.LABELLED_CORES]:
                fixed = max(re.split(r"\{\w+\}", core), key=len)
                pattern = re.compile(".{1,25}".join(re.escape(part) for part in re.split(r"\{\w+\}", core) if part))
                assert len(fixed) > 4
                assert not pattern.search(texts), core


def test_every_language_has_every_kind_of_sentence() -> None:
    assert set(LANGUAGES) == set(["ar", "de", "en", "es", "fr", "hi", "it", "pt"])
    for phrases in LANGUAGES.values():
        for kind in ("positive", "neutral", "negative", "delivery"):
            sentences = getattr(phrases, kind)
            assert len(sentences) == len(set(sentences)) >= 6
            for sentence in sentences:
                filled = sentence.format(brand=BRAND, product=PRODUCTS[0], feature=phrases.features[0])
                assert BRAND in filled or PRODUCTS[0] in filled or kind != "neutral"


def test_the_digits_in_the_truth_are_the_classes_in_order(demo: Demo) -> None:
    classes = pl.read_csv(demo[0] / "truth_mentions.csv").sort("mention_id")
    assert (
        "".join(str(mentions.CLASSES.index(label)) for label in classes["label"])
        == demo[1]["sentiment"]["class_digits"]
    )


# --- answers -------------------------------------------------------------------------------------------------


def test_repeats_of_a_prompt_agree_as_much_as_stated() -> None:
    world = answers.generate(5)
    still = world.said.filter(pl.col("engine") == "aster", pl.col("brand") == BRAND)
    means = still.group_by("prompt_id").agg(pl.col("mentioned").mean().alias("rate"))["rate"].to_numpy()
    overall = means.mean()
    between = means.var(ddof=1) / (overall * (1 - overall))
    assert between == pytest.approx(answers.ICC, abs=0.12)


def test_the_algorithm_change_moves_one_engine_only(demo: Demo) -> None:
    rates = demo[1]["surfacing"]["rates"]
    assert rates["quill"]["before"][BRAND]["mention_rate"] - rates["quill"]["after"][BRAND]["mention_rate"] > 0.15
    assert rates["aster"]["before"][BRAND]["mention_rate"] == rates["aster"]["after"][BRAND]["mention_rate"]
    for engine in rates.values():  # what was drawn is near what is true
        for period in engine.values():
            for brand in period.values():
                assert brand["mention_share"] == pytest.approx(brand["mention_rate"], abs=0.04)


def test_an_answer_names_exactly_the_brands_it_is_said_to_name(demo: Demo) -> None:
    texts = {row["answer_id"]: row["text"] for row in jsonl(demo[0] / "data" / "answers.jsonl")}
    said = pl.read_csv(demo[0] / "truth_answers.csv")
    for row in said.iter_rows(named=True):
        assert (row["brand"] in texts[row["answer_id"]]) == (row["mentioned"] or row["said_absent"])
    absent = said.filter("said_absent")
    assert absent.height > 50
    assert not absent["mentioned"].any()


# --- llm calls -----------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def test_planted_claims_are_not_in_the_context_and_all_other_numbers_are(demo: Demo) -> None:
    planted = {row["call_id"]: row for row in demo[1]["llm"]["planted"]}
    calls = jsonl(demo[0] / "data" / "llm_calls.jsonl")
    assert len(calls) == 4300
    assert len(planted) > 120
    for call in (call for call in calls if "context" in call):
        known = set(NUMBER.findall(f"{call['context']} {call['input']}"))
        said = set(NUMBER.findall(call["output"]))
        claim = planted.get(call["call_id"])
        if claim is None or claim["kind"] == "entity":
            assert said <= known
        if claim is not None:
            assert claim["span"] in call["output"]
            assert claim["span"] not in (known if claim["kind"] == "number" else call["context"])


def test_version_4_is_liked_better_by_the_stated_amount_and_customers_keep_their_version() -> None:
    calls = pl.DataFrame([row for seed in range(5) for row in llm.generate(seed).rows], infer_schema_length=None)
    own = calls.filter(pl.col("prompt_name") == "product_answer")
    given = own.filter(pl.col("user_feedback").is_not_null())
    liked = {arm: (part["user_feedback"] > 0).mean() for (arm,), part in given.group_by(["prompt_version"])}
    true = llm.FEEDBACK["product_answer 4"][2] - llm.FEEDBACK["product_answer 3"][2]
    assert liked["4"] - liked["3"] == pytest.approx(true, abs=0.04)
    one = pl.DataFrame(llm.generate(0).rows, infer_schema_length=None).filter(pl.col("unit_id").is_not_null())
    arms = one.group_by("unit_id").agg(pl.struct("prompt_version", "variant").n_unique().alias("arms"), pl.len())
    assert arms["arms"].max() == 1
    assert (arms["len"] > 1).mean() > 0.3  # type: ignore[operator]


def test_two_calls_of_one_customer_are_liked_as_much_alike_as_stated() -> None:
    calls = pl.DataFrame([row | {"seed": seed} for seed in range(4) for row in llm.generate(seed).rows],
                         infer_schema_length=None)  # fmt: skip
    given = calls.filter(pl.col("prompt_name") == "product_answer", pl.col("user_feedback").is_not_null())
    given = given.with_columns(
        off=(pl.col("user_feedback") > 0) - (pl.col("user_feedback") > 0).mean().over("prompt_version")
    )
    pairs = given.join(given, on=["seed", "unit_id"]).filter(pl.col("call_id") < pl.col("call_id_right"))
    agreement = (pairs["off"] * pairs["off_right"]).mean() / given["off"].var()
    assert agreement == pytest.approx(llm.SAME_MOOD**2, abs=0.06)


def test_costs_follow_from_tokens_and_the_clients_prices_but_for_those_billed_twice(demo: Demo) -> None:
    folder, truth = demo
    prices = yaml.safe_load((folder / "prices.yaml").read_text(encoding="utf-8"))
    total, wrong = Decimal(0), []
    for call in jsonl(folder / "data" / "llm_calls.jsonl"):
        own = prices["models"][call["model"]]
        tokens = (Decimal(call["input_tokens"]), Decimal(call["output_tokens"]))
        per_million = tokens[0] * Decimal(str(own["input_per_million"]))
        per_million += tokens[1] * Decimal(str(own["output_per_million"]))
        due = per_million / 1_000_000 * Decimal(str(prices["rate"]))
        recorded = Decimal(str(call["cost"])) if "cost" in call else due
        total += recorded
        if abs(recorded - due) > due / 1000:
            wrong.append(call["call_id"])
    assert sorted(wrong) == sorted(truth["llm"]["cost"]["billed_twice"])
    assert str(total.quantize(Decimal("0.01"))) == truth["llm"]["cost"]["total"]


def test_claims_of_channels_are_right_and_wrong_by_the_true_returns(demo: Demo) -> None:
    returns = {name: true["roi"] for name, true in demo[1]["marketing"]["channels"].items()}
    right = {row["call_id"]: row["right"] for row in demo[1]["llm"]["claims"]}
    assert 0.3 < np.mean(list(right.values())) < 0.7
    for call in jsonl(demo[0] / "data" / "llm_calls.jsonl"):
        if call["call_id"] not in right:
            continue
        said = call["output"].lower()
        named = sorted((name for name in returns if re.search(rf"\b{name}\b", said)), key=said.index)
        if len(named) == 2:
            is_right = returns[named[0]] > returns[named[1]]
        elif "highest" in said:
            is_right = named[0] == max(returns, key=lambda name: returns[name])
        else:
            is_right = abs(float(re.findall(r"[\d.]+\d", said)[0]) - returns[named[0]]) < 0.051
        assert is_right == right[call["call_id"]], said


def test_every_prompt_has_its_templates_and_content_its_faults(demo: Demo) -> None:
    folder, truth = demo
    called = {(call["prompt_name"], call["prompt_version"]) for call in jsonl(folder / "data" / "llm_calls.jsonl")}
    written = {(file.parent.name, file.stem) for file in (folder / "prompts").rglob("*.txt")}
    assert (
        called == written == {(name, label) for name, labels in truth["llm"]["templates"].items() for label in labels}
    )
    outputs = {call["call_id"]: call["output"] for call in jsonl(folder / "data" / "llm_calls.jsonl")}
    faults = {row["call_id"]: row["fault"] for row in truth["llm"]["content_faults"]}
    for call_id, output in outputs.items():
        if call_id.startswith("ad-"):
            headline = output.splitlines()[0].removeprefix("Headline: ")
            assert (len(headline) > 30) == (faults.get(call_id) == "headline_characters")
        if call_id.startswith("em-"):
            assert ("[first name]" in output) == (faults.get(call_id) == "unfilled_placeholders")
            assert ("unsubscribe" not in output) == (faults.get(call_id) == "unsubscribe")
    assert set(faults.values()) == {
        "headline_characters",
        "unsupported_superlatives",
        "unfilled_placeholders",
        "unsubscribe",
    }


def test_customers_names_are_drawn_alike_for_both_versions(demo: Demo) -> None:
    calls = jsonl(demo[0] / "data" / "llm_calls.jsonl")
    groups = {name: group for group, names in llm_texts.CUSTOMERS.items() for name in names}
    share = {
        version: np.mean(
            [
                groups[call["input"].split()[0]] == "group 1"
                for call in calls
                if call["prompt_name"] == "product_answer" and call["prompt_version"] == version
            ]
        )
        for version in ("3", "4")
    }
    assert share["3"] == pytest.approx(share["4"], abs=0.1)


# --- agents --------------------------------------------------------------------------------------------------


def judged(steps: list[dict[str, Any]], listed: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Violations found by rules written apart from the generator."""
    by_id = {agent["agent_id"]: agent for agent in listed}
    found: dict[str, set[str]] = {"over_budget": set(), "unknown_tool": set(), "pii_sent_out": set()}
    spent: dict[tuple[str, str], float] = {}
    read_pii: set[str] = set()
    for step in steps:
        agent, run = by_id[step["agent_id"]], step["run_id"]
        arguments = json.loads(step.get("arguments", "{}"))
        if step["kind"] == "tool_result" and "@mail.example" in step.get("content", ""):
            read_pii.add(run)
        if step["kind"] != "tool_call":
            continue
        if step["tool"] not in agent["capabilities"]:
            found["unknown_tool"].add(run)
        day = (agent["agent_id"], step["at"][:10])
        spent[day] = spent.get(day, 0.0) + step["cost"]
        if spent[day] > agent["budget"]:
            found["over_budget"].add(run)
        if step["tool"] == "send_mail" and run in read_pii and not arguments["to"].endswith("@" + BRAND_DOMAIN):
            found["pii_sent_out"].add(run)
    return found


@pytest.mark.parametrize("seed", [7, 8])
def test_the_planted_violations_are_there_and_no_others(seed: int) -> None:
    world = agents.generate(seed)
    assert judged(world.steps, world.agents) == {kind: set(runs) for kind, runs in world.planted.items()}
    outside = [s for s in world.steps if s.get("tool") == "send_mail" and "agency.example" in s.get("arguments", "")]
    assert outside  # innocent mail leaves the house too


def test_steps_of_a_run_are_numbered_in_order_of_time_but_for_the_planted_faults() -> None:
    world = agents.generate(7)
    spoilt = {run for runs in world.faults.values() for run in runs}
    steps = pl.DataFrame(world.steps, infer_schema_length=None)
    wrong = set()
    for (run_id,), run in steps.group_by(["run_id"], maintain_order=True):
        if run["step"].to_list() != list(range(1, run.height + 1)) or run["reward"].drop_nulls().len() != 1:
            wrong.add(run_id)
        if run_id in spoilt:
            continue
        assert run["at"].is_sorted()
        assert run["reward"].drop_nulls().len() == 1
    assert wrong == spoilt


def test_a_culprits_step_is_its_own_and_where_something_went_wrong() -> None:
    world = agents.generate(7)
    by_place = {(step["run_id"], step["step"]): step for step in world.steps if step["run_id"].startswith("t-")}
    failed = {step["run_id"] for step in by_place.values() if step.get("reward") == 0.0}
    assert failed == {culprit.run_id for culprit in world.culprits}
    for culprit in world.culprits:
        step = by_place[culprit.run_id, culprit.step]
        assert step["agent_id"] == culprit.agent_id in agent_teams.CULPRITS[culprit.kind]
        guessed = "assume" in step["content"] or "approximation" in step["content"]
        assert guessed == (culprit.kind != "wrong_product")
    # Nobody who went right ever guesses.
    told = {(culprit.run_id, culprit.step) for culprit in world.culprits if culprit.kind != "wrong_product"}
    guesses = {place for place, step in by_place.items() if "assume" in (step.get("content") or "")
               or "approximation" in (step.get("content") or "")}  # fmt: skip
    assert guesses == told


def test_only_runs_that_followed_an_injection_carry_its_link_on() -> None:
    world = agents.generate(7)
    carried = {
        step["run_id"]
        for step in world.steps
        if step["run_id"].startswith("w-") and "https://" in (step.get("arguments") or "")
    }
    assert carried == {run for run, fate in world.injected.items() if fate != "resisted"}
    assert len(carried) == agent_teams.FOLLOWED_BY_LINK + agent_teams.FOLLOWED_BY_TOOL


# --- memory --------------------------------------------------------------------------------------------------


def test_past_decisions_point_to_the_action_that_truly_helps() -> None:
    right = total = 0
    for seed in range(10):
        world = outcomes.generate(seed)
        rows = pl.DataFrame(world.rows).with_columns(kind=pl.col("outcome_id").replace_strict(world.kinds))
        means = rows.group_by("kind", "action").agg(pl.col("effect").mean())
        for situation in outcomes.SITUATIONS:
            best = means.filter(pl.col("kind") == situation.kind).sort("effect", descending=True)["action"][0]
            right, total = right + (best == situation.best), total + 1
    assert right / total > 0.95
    assert total == 80


def test_what_memory_knows_of_delivery_failures_is_older_than_the_incident(demo: Demo) -> None:
    rows = pl.read_csv(demo[0] / "data" / "outcomes.csv", try_parse_dates=True)
    assert rows["decided_at"].dt.date().max() < INCIDENT.start
    kinds = demo[1]["memory"]["kind_of_outcome"]
    assert sum(kind == demo[1]["memory"]["incident_kind"] for kind in kinds.values()) >= 10


# --- moves of spend ------------------------------------------------------------------------------------------


def test_moves_of_spend_come_after_the_other_decisions_and_change_none_of_them(demo: Demo) -> None:
    rows = pl.read_csv(demo[0] / "data" / "outcomes.csv", infer_schema_length=None)
    before = outcomes.generate(7).rows
    assert rows["outcome_id"].to_list()[: len(before)] == [row["outcome_id"] for row in before]
    assert rows["effect"].to_list()[: len(before)] == [row["effect"] for row in before]
    moved = rows.slice(len(before))
    assert set(moved["outcome_id"]) == set(demo[1]["memory"]["spend"]["decisions"])
    assert set(moved["metric"]) == {spend_decisions.METRIC}


def test_a_moves_true_effect_follows_from_the_written_marketing(demo: Demo) -> None:
    """From the client's file and the channels' parameters alone, written apart from the generator."""
    folder, truth = demo
    panel = pl.read_csv(folder / "data" / "marketing.csv", try_parse_dates=True)
    decided = pl.read_csv(folder / "data" / "outcomes.csv", infer_schema_length=None)
    week_of = dict(decided.select("outcome_id", pl.col("decided_at").str.slice(0, 10).str.to_date()).iter_rows())
    for decision_id, said in truth["memory"]["spend"]["decisions"].items():
        move = truth["memory"]["spend"]["actions"][said["action"]]
        channel = truth["marketing"]["channels"][move["channel"]]
        gained = money = 0.0
        for geo in said["geos"]:
            rows = panel.filter(pl.col("region") == geo).sort("week")
            heads, seen = float(rows["population"][0]), rows[f"{move['channel']}_impressions"].to_numpy().astype(float)
            first = rows["week"].to_list().index(week_of[decision_id])
            changed = slice(first, first + said["weeks"])
            without = seen.copy()
            without[changed] /= 1 + move["share"]
            lags = channel["retention"] ** np.arange(8)

            def conversions(
                exposure: np.ndarray, heads: float = heads, geo: str = geo, lags: np.ndarray = lags, own: Any = channel
            ) -> float:
                stock = np.convolve(exposure / heads, lags / lags.sum())[: exposure.size]
                level = own["ceiling_per_head"] * own["effect_by_geo"][geo] * heads
                return float((level * stock / (stock + own["half_saturation"])).sum())

            gained += 60.0 * (conversions(seen) - conversions(without))
            money += float(rows[f"{move['channel']}_spend"].to_numpy()[changed].sum()) * (1 - 1 / (1 + move["share"]))
        assert said["true_effect"] == pytest.approx((gained - money) / abs(money), rel=1e-6), decision_id


def test_geo_tests_are_right_within_their_error_and_the_platforms_claims_are_not() -> None:
    z, claims = [], []
    for seed in range(12):
        spent = spend_decisions.generate(seed, marketing.generate(seed))
        for row in spent.rows:
            said = spent.truth["decisions"][row["outcome_id"]]
            distance = (row["effect"] - said["true_effect"]) / row["std_error"]
            (z if said["measured_by"] == "geo test" else claims).append(distance)
    assert len(z) + len(claims) == 12 * 30
    assert np.mean(z) == pytest.approx(0, abs=4 / np.sqrt(len(z)))
    assert np.std(z) == pytest.approx(1, abs=0.12)
    assert min(claims) > 3


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_some_moves_truly_help_now_some_harm_and_the_platform_claims_one_that_harms(seed: int) -> None:
    panel = marketing.generate(seed)
    spent = spend_decisions.generate(seed, panel)
    gains = {action: row["net_gain_now"] for action, row in spent.truth["actions"].items()}
    assert sum(gain > 0 for gain in gains.values()) >= 2
    assert sum(gain < 0 for gain in gains.values()) >= 2
    claimed = {row["action"] for row in spent.truth["decisions"].values() if row["measured_by"] != "geo test"}
    assert {gains[action] < 0 for action in claimed} == {True}
    for c, channel in enumerate(marketing.CHANNELS):  # a small move's sign is that of its margin
        margin = marketing_truth.marginal_roi(panel, c, 52)
        if abs(margin - 1) > 0.3:
            assert (gains[spend_decisions.action_of(channel.name, 0.5)] > 0) == (margin > 1)


def test_money_on_top_gains_less_the_more_it_is(demo: Demo) -> None:
    outlook = demo[1]["outlook"]
    for curve in outlook["gains"].values():
        steps = np.diff(curve["revenue"])
        assert (steps >= -1e-6).all()
        tail = steps[len(steps) // 2 :]  # below zero, weeks without spend cannot give any up
        assert (np.diff(tail) < 1e-6).all()
    social = outlook["gains"]["social"]
    assert np.interp(380_000 * 8 / 9, social["amount"], social["revenue"]) == pytest.approx(
        outlook["expected"], rel=0.01
    )
