"""The demo client: one seeded, coherent world, written as a client folder with what is true beside it.

`client.yaml` and `data/` are what a client would bring (the input contract's formats, mixed on purpose);
`truth.json` and `truth_*.csv` are for whoever compares, and no source reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from liftos_pipelines.simulate import (
    agents,
    answers,
    llm,
    llm_content,
    marketing,
    marketing_truth,
    mentions,
    outcomes,
    pages,
    spend_decisions,
)
from liftos_pipelines.simulate.setting import (
    BRAND,
    BRAND_ALIASES,
    BRAND_DOMAIN,
    CAMPAIGNS,
    COMPETITORS,
    FIRST_DAY,
    INCIDENT,
    LAST_DAY,
    NOW,
    PRODUCTS,
    Campaign,
)

FUTURE_BUDGET = 380_000.0
"""Budget of the campaign that has only just begun, EUR; the others' follows from their channel's spend."""


def write_client(folder: Path, seed: int = 7, client: str = "demo") -> dict[str, Any]:
    """Write the client folder and return the truth, which is also in `truth.json`.

    Parameters
    ----------
    folder : the client's folder (named like `client` where LiftOS is to find it); made if absent
    seed : any integer; the same seed gives the same files, byte for byte
    client : the id in client.yaml
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    panel = marketing.generate(seed)
    marketing.files(panel).write_csv(data / "marketing.csv")
    marketing.decomposition(panel).write_csv(folder / "truth_marketing.csv")
    lift_tests, lift_truth = marketing.experiments(panel, seed)
    lift_tests.write_csv(data / "experiments.csv")
    _campaigns(panel).write_csv(data / "campaigns.csv")

    talk = mentions.generate(seed)
    (data / "mentions").mkdir(exist_ok=True)
    for year in (FIRST_DAY.year, LAST_DAY.year):
        rows = talk.rows.filter(pl.col("published_at").dt.year() == year)
        rows.write_parquet(data / "mentions" / f"{year}.parquet")
    talk.classes.write_csv(folder / "truth_mentions.csv")
    talk.net.write_csv(folder / "truth_net_sentiment.csv")
    mentions.labelled(seed).write_csv(data / "labelled_mentions.csv")

    answered = answers.generate(seed)
    _jsonl(data / "answers.jsonl", answered.rows)
    answered.said.write_csv(folder / "truth_answers.csv")
    asked = yaml.safe_dump(answers.template(), sort_keys=False, allow_unicode=True)
    (folder / "template.yaml").write_text(asked, encoding="utf-8")
    pages.write(data / "pages")

    calls = llm.generate(seed)
    _jsonl(data / "llm_calls.jsonl", calls.rows)
    llm_content.write(folder, llm.prices())
    runs = agents.generate(seed)
    (data / "agents.yaml").write_text(yaml.safe_dump(runs.agents, sort_keys=False), encoding="utf-8")
    _jsonl(data / "agent_steps.jsonl", runs.steps)
    past, spent = outcomes.generate(seed), spend_decisions.generate(seed, panel)
    pl.DataFrame([*past.rows, *spent.rows]).with_columns(
        pl.col("decided_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    ).write_csv(data / "outcomes.csv")
    _jsonl(data / "notes.jsonl", past.notes)

    truth = {
        "client": client,
        "seed": seed,
        "calendar": {"first_day": FIRST_DAY.isoformat(), "last_day": LAST_DAY.isoformat(), "now": NOW.isoformat()},
        "marketing": marketing_truth.truth(panel) | {"experiments": lift_truth},
        "incident": _incident(panel),
        "sentiment": mentions.truth(talk),
        "surfacing": answers.truth(answered) | {"page_audit": pages.truth()},
        "llm": llm.truth(calls),
        "agentic": agents.truth(runs),
        "memory": _memory_truth(past, spent),
        "new_campaign": CAMPAIGNS[-1].campaign_id,
        "outlook": spend_decisions.outlook_truth(panel, CAMPAIGNS[-1], FUTURE_BUDGET),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    # client.yaml last: a folder is a client only once its data are whole.
    (folder / "client.yaml").write_text(_client_yaml(client), encoding="utf-8")
    return json.loads(json.dumps(truth))


def _memory_truth(past: outcomes.Outcomes, spent: spend_decisions.SpendDecisions) -> dict[str, Any]:
    told = outcomes.truth(past)
    kinds = told["kind_of_outcome"] | dict.fromkeys(spent.truth["decisions"], spend_decisions.KIND)
    return told | {"outcomes": len(kinds), "kind_of_outcome": kinds, "spend": spent.truth}


def _incident(panel: marketing.Marketing) -> dict[str, Any]:
    lost = float(panel.loss.sum())
    return {
        "campaign_id": INCIDENT.campaign_id,
        "start": INCIDENT.start.isoformat(),
        "end": INCIDENT.end.isoformat(),
        "conversions_lost": lost,
        "revenue_lost": lost * marketing.REVENUE_PER_CONVERSION,
        "loss_by_week": panel.loss.sum(axis=0)[panel.loss.sum(axis=0) > 0].tolist(),
        "share_lost_by_week": list(INCIDENT.outcome_loss),
        "description": INCIDENT.description,
    }


def _campaigns(panel: marketing.Marketing) -> pl.DataFrame:
    names = [channel.name for channel in marketing.CHANNELS]
    weeks = list(enumerate(marketing.WEEK_STARTS))

    def budget(campaign: Campaign) -> float | None:
        if campaign.end > LAST_DAY:
            return FUTURE_BUDGET
        if campaign.channel not in names:
            return None
        inside = [week for week, start in weeks if campaign.start <= start <= campaign.end]
        return round(0.8 * float(panel.spend[:, inside, names.index(campaign.channel)].sum()), -3)

    return pl.DataFrame(
        [
            {
                "campaign_id": c.campaign_id,
                "name": c.name,
                "channel": c.channel,
                "start": c.start,
                "end": c.end,
                "budget": budget(c),
                "objective": c.objective,
            }
            for c in CAMPAIGNS
        ]
    )


def _jsonl(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One object a line; absent values are left out, as exports do."""
    lines = (
        json.dumps({key: value for key, value in row.items() if value is not None}, ensure_ascii=False) for row in rows
    )
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _client_yaml(client: str) -> str:
    names = [channel.name for channel in marketing.CHANNELS]
    content = {
        "client": client,
        "industry": "retail",
        "currency": "EUR",
        "brand": {
            "name": BRAND,
            "aliases": list(BRAND_ALIASES),
            "products": list(PRODUCTS),
            "domains": [BRAND_DOMAIN],
            "competitors": [{"name": name, "aliases": [], "domains": [domain]} for name, domain in COMPETITORS.items()],
        },
        "sources": {
            "marketing": {
                "path": "data/marketing.csv",
                "date": "week",
                "geo": "region",
                "outcome": "conversions",
                "revenue_per_outcome": "revenue_per_conversion",
                "population": "population",
                "channels": {name: {"spend": f"{name}_spend", "exposure": f"{name}_impressions"} for name in names},
                "organic": {"newsletter": {"exposure": "newsletter_sent"}},
                "controls": ["price_index", "competitor_activity"],
            },
            "experiments": {"path": "data/experiments.csv"},
            "mentions": {"path": "data/mentions/*.parquet"},
            "labelled_mentions": {"path": "data/labelled_mentions.csv"},
            "campaigns": {"path": "data/campaigns.csv"},
            "answers": {"path": "data/answers.jsonl"},
            "pages": {"path": "data/pages/*.html"},
            "llm_calls": {"path": "data/llm_calls.jsonl"},
            "agents": {"path": "data/agents.yaml"},
            "agent_steps": {"path": "data/agent_steps.jsonl"},
            "outcomes": {"path": "data/outcomes.csv"},
            "notes": {"path": "data/notes.jsonl"},
        },
        "llm": {"experiments": llm.experiments()},
    }
    head = "# The demo client: an invented outdoor brand in a world with known truth (docs/demo.md).\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
