"""LLM calls of seven prompts over ninety days, with what is true of them planted and told.

`product_answer` answers customers from a fact sheet; since the first of these days each customer is given version 3 or 4
of its prompt, and people like 4 better. `delivery_answer` tries a slower variant B, `review_reply`'s version 2 makes up
more than its version 1 did, `campaign_summary` moves to a better version 2. Advertisements and e-mails are generated
with a few faults, and `channel_answer` says true and wrong things of the client's own channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from liftos_pipelines.simulate import llm_content, llm_plants, llm_texts
from liftos_pipelines.simulate.llm_texts import Said
from liftos_pipelines.simulate.setting import LAST_DAY, at, stream

DAYS_BACK = 90
VERSION_2_FROM = {"campaign_summary": date(2025, 11, 17), "review_reply": date(2025, 12, 1)}
USERS = {"product_answer": 1000, "delivery_answer": 300}
"""Customers of the two prompts that experiments run on; each keeps the arm that was drawn for it, and asks again."""
SAME_MOOD = 0.5
"""Chance that a call's feedback is the customer's usual one: two calls of one customer agree with .25."""
FEEDBACK_GIVEN = {"product_answer": 0.6, "delivery_answer": 0.5}
FEEDBACK: dict[str, tuple[float, float, float]] = {
    "product_answer 3": (0.24, 0.26, 0.50),
    "product_answer 4": (0.16, 0.20, 0.64),
    "delivery_answer A": (0.24, 0.26, 0.50),
    "delivery_answer B": (0.24, 0.26, 0.50),
}
"""Probabilities of -1, 0 and 1 among those who answer."""
PLANTED = {
    "product_answer 3": 0.05,
    "product_answer 4": 0.02,
    "campaign_summary 1": 0.06,
    "campaign_summary 2": 0.02,
    "review_reply 1": 0.04,
    "review_reply 2": 0.30,
}
"""Share of calls with an unsupported claim, by prompt and version; elsewhere none."""
ERRORS = {"product_answer": 0.012, "campaign_summary": 0.008}
LATENCY_MEDIAN = {
    "product_answer 3": 820.0,
    "product_answer 4": 900.0,
    "campaign_summary 1": 1150.0,
    "campaign_summary 2": 1100.0,
    "delivery_answer A": 700.0,
    "delivery_answer B": 1120.0,
}
USUAL_LATENCY = 900.0
DOLLARS_PER_MILLION = {"swift-small-2": ("0.40", "1.60"), "swift-large-1": ("2.00", "8.00")}
EUROS_PER_DOLLAR = "0.92"
COST_RECORDED = ("product_answer", "campaign_summary")
"""The others' calls bring tokens only: their cost follows from the client's `prices.yaml`."""
BILLED_TWICE = 9
"""Calls whose recorded cost is double what tokens and price come to."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt: how many calls, by which model, for what, and what makes an input, context and output."""

    calls: int
    model: str
    use_case: str
    write: Callable[[np.random.Generator, float], Said]


PROMPTS: dict[str, Prompt] = {
    "product_answer": Prompt(
        calls=2000, model="swift-small-2", use_case="product questions", write=llm_texts.product_answer
    ),
    "campaign_summary": Prompt(
        calls=1000, model="swift-large-1", use_case="weekly summary", write=llm_texts.campaign_summary
    ),
    "delivery_answer": Prompt(
        calls=400, model="swift-small-2", use_case="delivery questions", write=llm_texts.delivery_answer
    ),
    "review_reply": Prompt(calls=480, model="swift-small-2", use_case="review replies", write=llm_texts.review_reply),
    "ad_copy": Prompt(calls=160, model="swift-large-1", use_case="ad_copy", write=llm_content.ad_copy),
    "email_offer": Prompt(calls=120, model="swift-large-1", use_case="email_marketing", write=llm_content.email_offer),
    "channel_answer": Prompt(
        calls=140, model="swift-large-1", use_case="channel questions", write=llm_texts.channel_answer
    ),
}


@dataclass(frozen=True, kw_only=True)
class Calls:
    """`rows` is what the client brings; `planted` the unsupported claims by call, `faults` those of content, `claims`
    of channels with whether each is right, `screened` what screens should and should not flag, `billed_twice` calls."""

    rows: list[dict[str, Any]]
    planted: list[dict[str, str]]
    faults: list[dict[str, str]]
    claims: list[dict[str, Any]]
    screened: list[dict[str, str]]
    billed_twice: list[str]


def generate(seed: int) -> Calls:
    rows: list[dict[str, Any]] = []
    planted: list[dict[str, str]] = []
    faults: list[dict[str, str]] = []
    claims: list[dict[str, Any]] = []
    for name, prompt in PROMPTS.items():
        for row, said in _of_prompt(stream(seed, f"llm calls of {name}"), name, prompt):
            rows.append(row)
            if row["error"]:
                continue
            if said.span:
                planted.append({"call_id": row["call_id"], "kind": said.kind, "span": said.span})
            if said.fault:
                faults.append({"call_id": row["call_id"], "fault": said.fault})
            if said.right is not None:
                claims.append({"call_id": row["call_id"], "right": said.right, "kind": said.kind})
    screened = llm_plants.plant(rows, {row["call_id"] for row in planted}, stream(seed, "llm screens"))
    rng = stream(seed, "llm costs")
    recorded = [row for row in rows if row["prompt_name"] in COST_RECORDED and not row["error"]]
    for row in recorded:
        row["cost"] = float(charge(row))
    twice = sorted(rng.choice(len(recorded), BILLED_TWICE, replace=False).tolist())
    for place in twice:
        recorded[place]["cost"] = float(2 * charge(recorded[place]))
    rows.sort(key=lambda row: (row["called_at"], row["call_id"]))
    return Calls(
        rows=rows,
        planted=planted,
        faults=faults,
        claims=claims,
        screened=screened,
        billed_twice=[recorded[place]["call_id"] for place in twice],
    )


def charge(row: dict[str, Any]) -> Decimal:
    """What a call costs in euros by its tokens and the prices, exact."""
    given, came = (Decimal(price) for price in DOLLARS_PER_MILLION[row["model"]])
    dollars = (row["input_tokens"] * given + row["output_tokens"] * came) / 1_000_000
    return dollars * Decimal(EUROS_PER_DOLLAR)


def prices() -> dict[str, Any]:
    """The client's `prices.yaml`."""
    return {
        "currency": "USD",
        "rate": float(EUROS_PER_DOLLAR),
        "models": {
            model: {"input_per_million": float(given), "output_per_million": float(came)}
            for model, (given, came) in DOLLARS_PER_MILLION.items()
        },
    }


def _of_prompt(rng: np.random.Generator, name: str, prompt: Prompt) -> list[tuple[dict[str, Any], Said]]:
    first = LAST_DAY - timedelta(days=DAYS_BACK - 1)
    users = USERS.get(name, 0)
    given_new, moods = rng.random(users) < 0.5, rng.random(users)
    made = []
    for number, offset in enumerate(np.sort(rng.integers(0, DAYS_BACK, prompt.calls))):
        day = first + timedelta(days=int(offset))
        user, variant, version = int(rng.integers(users)) if users else None, None, "1"
        if name == "product_answer":
            version = "4" if given_new[user] else "3"
        elif name == "delivery_answer":
            variant = "B" if given_new[user] else "A"
        elif name in VERSION_2_FROM:
            version = "2" if day >= VERSION_2_FROM[name] else "1"
        arm = f"{name} {variant or version}"
        said = prompt.write(rng, PLANTED.get(arm, 0.0))
        row = {
            "call_id": f"{name[:2]}-{number:05d}",
            "called_at": at(day, rng.uniform(25_200, 79_200)).isoformat(),
            "model": prompt.model,
            "prompt_name": name,
            "prompt_version": version,
            "variant": variant,
            "use_case": prompt.use_case,
            "unit_id": None if user is None else f"{name[:2]}-user-{user:04d}",
            "trace_id": rng.bytes(16).hex(),
            "input": said.question,
            "context": said.context or None,
        }
        failed = rng.random() < ERRORS.get(name, 0.0)
        mood = None if user is None else float(moods[user])
        made.append((row | _measures(rng, row, said.output, arm, mood, failed=failed), said))
    return made


def _measures(
    rng: np.random.Generator, row: dict[str, Any], output: str, arm: str, mood: float | None, *, failed: bool
) -> dict[str, Any]:
    words_in = len(f"{row['input']} {row['context'] or ''}".split())
    latency = LATENCY_MEDIAN.get(arm, USUAL_LATENCY) * float(np.exp(rng.normal(0, 0.35)))
    answered = not failed and rng.random() < FEEDBACK_GIVEN.get(row["prompt_name"], 0.0)
    drawn, usual = rng.random(), rng.random() < SAME_MOOD
    if mood is not None and usual:
        drawn = mood
    return {
        "output": "" if failed else output,
        "latency_ms": round(30_000.0 if failed else latency, 1),
        "input_tokens": int(words_in * 1.4) + 160,
        "output_tokens": 0 if failed else int(len(output.split()) * 1.4),
        "cost": None,
        "user_feedback": _feedback(FEEDBACK[arm], drawn) if answered else None,
        "error": "timeout" if failed else None,
    }


def _feedback(odds: tuple[float, float, float], drawn: float) -> int:
    return -1 if drawn < odds[0] else 0 if drawn < odds[0] + odds[1] else 1


def experiments() -> dict[str, Any]:
    """What `client.yaml` plans (`llm.experiments`)."""
    return {
        "product_answer_4": {
            "prompt": "product_answer",
            "by": "prompt_version",
            "split": {"3": 0.5, "4": 0.5},
            "primary": "feedback_positive",
            "minimal_effect": 0.05,
            "guardrails": {"latency_ms": {"margin": 0.25}, "groundedness": {"margin": 0.03}},
        },
        "delivery_answer_b": {
            "prompt": "delivery_answer",
            "primary": "feedback_positive",
            "guardrails": {"latency_ms": {"margin": 0.2}},
        },
    }


def truth(world: Calls) -> dict[str, Any]:
    def mean(odds: tuple[float, float, float]) -> float:
        return odds[2] - odds[0]

    def ratio(after: str, before: str) -> float:
        return LATENCY_MEDIAN[after] / LATENCY_MEDIAN[before]

    new, old = FEEDBACK["product_answer 4"], FEEDBACK["product_answer 3"]
    spent = sum(
        (Decimal(str(row["cost"])) if row["cost"] is not None else charge(row) for row in world.rows), Decimal(0)
    )
    registered = llm_content.templates()
    return {
        "calls": len(world.rows),
        "planted": world.planted,
        "planted_rate": PLANTED,
        "experiment": {
            "experiment": "product_answer_4",
            "prompt_name": "product_answer",
            "control": "3",
            "better": "4",
            "feedback_mean_difference": mean(new) - mean(old),
            "feedback_positive_difference": new[2] - old[2],
            "latency_median_ratio": ratio("product_answer 4", "product_answer 3"),
            "decision": "ship_b",
        },
        "slower": {
            "experiment": "delivery_answer_b",
            "prompt_name": "delivery_answer",
            "latency_median_ratio": ratio("delivery_answer B", "delivery_answer A"),
            "decision": "rollback_b",
        },
        "regression": {
            "prompt_name": "review_reply",
            "version": "2",
            "previous": "1",
            "metric": "groundedness",
            "since": VERSION_2_FROM["review_reply"].isoformat(),
        },
        "no_regression": {"prompt_name": "campaign_summary", "metric": "groundedness"},
        "best": {"product questions": ("feedback_positive", "4"), "review replies": ("groundedness", "1")},
        "content_faults": world.faults,
        "content_prompts": {"ad_copy": "ad_copy", "email_offer": "email_marketing"},
        "claims": world.claims,
        "screened": world.screened,
        "cost": {"total": str(spent.quantize(Decimal("0.01"))), "billed_twice": world.billed_twice},
        "templates": {name: sorted(labels) for name, labels in registered.items()},
        "serving": llm_content.SERVING,
        "bias": {"groups": {name: list(names) for name, names in llm_texts.CUSTOMERS.items()}, "planted": False},
        "error_rate": ERRORS,
    }
