"""Small worlds with known truth, made by hand from the contract: what the other modules would have stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from liftos_pipelines.modules.eval.trust import inventory
from liftos_pipelines.modules.eval.views import INVENTORY
from liftos_pipelines.tables import TABLES

LAST = datetime(2025, 6, 30, 12, tzinfo=UTC)
NOW = datetime(2025, 7, 1, 12, tzinfo=UTC)


def nothing() -> dict[str, pl.DataFrame]:
    """A client of whom no module stored anything."""
    return {name: contract.empty() for name, contract in TABLES.items()} | {INVENTORY: inventory({}, {})}


def moments(rng: np.random.Generator, n: int, days: int) -> list[datetime]:
    """n moments spread over the last `days` days, every day of which has some."""
    whole = np.arange(n) % days
    return [
        LAST - timedelta(days=int(day), minutes=int(minute))
        for day, minute in zip(whole, rng.integers(0, 600, n), strict=True)
    ]


def typed(name: str, columns: dict[str, object]) -> pl.DataFrame:
    """A contract table of which only some columns are given; the others are null."""
    frame = pl.DataFrame(columns)
    contract = TABLES[name]
    missing = [
        pl.lit(None, dtype).alias(column) for column, dtype in contract.columns.items() if column not in frame.columns
    ]
    return contract.conform(frame.with_columns(missing))


def llm_world(
    rng: np.random.Generator,
    *,
    n: int = 1200,
    days: int = 120,
    grounded: float = 0.9,
    errors: float = 0.005,
    bad_version_from: int | None = None,
    bad_drop: float = 0.4,
) -> dict[str, pl.DataFrame]:
    """Calls of two prompts; from `bad_version_from` days before the end, half of prompt "ad" is a bad version v2."""
    at = moments(rng, n, days)
    age = np.array([(LAST - moment).days for moment in at])
    prompt = rng.choice(["ad", "mail"], n)
    bad = (
        np.zeros(n, bool)
        if bad_version_from is None
        else (age < bad_version_from) & (prompt == "ad") & (rng.random(n) < 0.5)
    )
    ids = [f"c{i}" for i in range(n)]
    score = np.clip(rng.normal(grounded, 0.08, n) - bad_drop * bad, 0, 1)
    return {
        "sources/llm_calls": typed("sources/llm_calls", {
            "call_id": ids, "called_at": at, "model": rng.choice(["m1", "m2"], n), "prompt_name": prompt,
            "prompt_version": np.where(bad, "v2", "v1"), "latency_ms": rng.lognormal(6.5, 0.4, n),
            "input_tokens": rng.integers(50, 500, n), "output_tokens": rng.integers(20, 300, n),
            "error": pl.Series(np.where(rng.random(n) < errors, "timeout", ""), dtype=pl.String).replace("", None),
        }),
        "llm/call_scores": typed("llm/call_scores", {"call_id": ids, "groundedness": score}),
    }  # fmt: skip


def sentiment_world(
    rng: np.random.Generator,
    *,
    per_day: int = 40,
    days: int = 60,
    drop_campaign: str | None = None,
    drop: float = 0.6,
    drop_days: int = 7,
    everywhere: float = 0.0,
) -> dict[str, pl.DataFrame]:
    """Mentions of three campaigns; one may turn sour in the last days, or all of them by `everywhere`."""
    n = per_day * days
    at = moments(rng, n, days)
    age = np.array([(LAST - moment).days for moment in at])
    campaign = rng.choice(["brand", "spring", "summer"], n, p=[0.5, 0.3, 0.2])
    day_effect = rng.normal(0, 0.03, days + 1)[age]
    sour = (age < drop_days) * ((campaign == drop_campaign) * drop + everywhere)
    net = np.clip(0.2 + day_effect - sour + rng.normal(0, 0.4, n), -0.98, 0.98)
    ids = [f"m{i}" for i in range(n)]
    positive = (1 + net) / 2
    return {
        "sources/mentions": typed("sources/mentions", {
            "mention_id": ids, "published_at": at, "source": rng.choice(["x", "reddit", "reviews"], n, p=[0.6, 0.3, 0.1]),
            "text": ["word " * int(k) for k in rng.integers(3, 30, n)], "campaign_id": campaign,
        }),
        "sentiment/mention_scores": typed("sentiment/mention_scores", {
            "mention_id": ids, "language": rng.choice(["en", "de"], n, p=[0.9, 0.1]), "p_negative": 1 - positive,
            "p_neutral": np.zeros(n), "p_positive": positive, "label": np.where(net > 0, "positive", "negative"),
            "confidence": np.maximum(positive, 1 - positive), "abstained": rng.random(n) < 0.2,
        }),
        "sentiment/daily_index": typed("sentiment/daily_index", {
            "date": [LAST.date()], "campaign_id": ["all"], "source": ["all"], "language": ["all"], "topic": ["all"],
            "n": [per_day], "net_sentiment": [0.2], "low": [0.1], "high": [0.3],
        }),
    }  # fmt: skip


def alert(alert_id: str = "a1", campaign: str = "spring", days: int = 7) -> pl.DataFrame:
    """One sentiment alert at the end of the data, with its window."""
    frame = typed("sentiment/alerts", {
        "alert_id": [alert_id], "detected_at": [LAST], "campaign_id": [campaign], "severity": [0.8], "effect": [-0.5],
        "n": [100], "explanation": ["net sentiment fell"], "exemplars": [["m1"]],
    })  # fmt: skip
    return frame.with_columns(
        pl.lit(LAST.date() - timedelta(days=days - 1)).alias("window_start"), pl.lit(LAST.date()).alias("window_end")
    )


def agent_world(rng: np.random.Generator, *, runs: int = 200, violating: float = 0.02) -> dict[str, pl.DataFrame]:
    """Runs of three steps; a share of them holds one denied step."""
    at = [moment for moment in moments(rng, runs, 80) for _ in range(3)]
    run = [f"r{i}" for i in range(runs) for _ in range(3)]
    denied = np.repeat(rng.random(runs) < violating, 3) & (np.tile([0, 1, 2], runs) == 1)
    keys = {"run_id": run, "step": np.tile([0, 1, 2], runs), "agent_id": ["a"] * 3 * runs}
    return {
        "sources/agent_steps": typed("sources/agent_steps", keys | {
            "at": at, "kind": np.tile(["message", "tool_call", "outcome"], runs), "tool": ["t"] * 3 * runs,
            "cost": rng.random(3 * runs),
        }),
        "agentic/policy_decisions": typed("agentic/policy_decisions", keys | {
            "decision": np.where(denied, "deny", "allow"), "policy": ["p"] * 3 * runs, "policy_version": ["1"] * 3 * runs,
        }),
        "agentic/ledger_audit": typed("agentic/ledger_audit", {"verified": [True], "entries": [12], "root_hash": ["ab"]}),
        "agentic/performance": typed("agentic/performance", {
            "agent_id": ["a"], "version": ["1"], "period": ["all"], "runs": [runs], "success_rate": [0.8], "violations": [3],
        }).with_columns(pl.lit(runs).alias("outcomes")),
    }  # fmt: skip


def full_world(seed: int, **llm: object) -> dict[str, pl.DataFrame]:
    """A healthy client with most modules present, planted only with what `llm` says."""
    rng = np.random.default_rng(seed)
    frames = nothing() | llm_world(rng, **llm) | sentiment_world(rng) | agent_world(rng)  # type: ignore[arg-type]
    frames["causal/validation"] = typed("causal/validation", {
        "check": ["r_hat", "ess_bulk", "heldout_accuracy"], "value": [1.004, 900.0, 0.91], "threshold": [1.01, 400.0, 0.85],
        "status": ["pass"] * 3, "detail": [""] * 3,
    }).with_columns(pl.Series("low", [None, None, 0.87]), pl.Series("high", [None, None, 0.95]),
                    pl.Series("n", [1000, 1000, 13]))  # fmt: skip
    frames["memory/retrieval_quality"] = typed("memory/retrieval_quality", {
        "method": ["hybrid-bm25", "pattern"], "metric": ["recall@10", "abstention"], "value": [0.05, 0.93],
        "low": [0.01, 0.88], "high": [0.09, 0.97], "n": [60, 40],
    })  # fmt: skip
    return frames | {INVENTORY: inventory(frames, {"mentions": 3})}


def campaigns(started: date) -> pl.DataFrame:
    """One campaign that began on a day."""
    return typed("sources/campaigns", {"campaign_id": ["spring"], "name": ["Spring sale"], "start": [started]})
