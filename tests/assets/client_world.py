"""A small client with every source, written by hand, for tests of ingestion on a real Dagster instance."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from liftos_pipelines.assets import sources
from liftos_pipelines.resources.lake import Lake, LakeIOManager, LakeResource
from liftos_pipelines.resources.spine import SpineResource

FILE_SOURCES = {
    "experiments": "data/experiments.csv",
    "mentions": "data/mentions.csv",
    "labelled_mentions": "data/labelled_mentions.csv",
    "campaigns": "data/campaigns.csv",
    "answers": "data/answers.jsonl",
    "pages": "data/pages/*.html",
    "llm_calls": "data/llm_calls.jsonl",
    "agents": "data/agents.yaml",
    "agent_steps": "data/agent_steps.jsonl",
    "outcomes": "data/outcomes.csv",
    "notes": "data/notes.jsonl",
}
MARKETING = {
    "path": "data/media.csv",
    "date": "week",
    "outcome": "sales",
    "revenue_per_outcome": 2.0,
    "channels": {"tv": {"spend": "tv_spend", "exposure": "tv_grp"}},
    "controls": ["event"],
}


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def week(number: int) -> str:
    return (date(2024, 1, 1) + timedelta(weeks=number)).isoformat()


def media(weeks: int = 6, first: int = 0) -> list[str]:
    return [f"{week(first + n)},{100 + first + n},{10 + first + n},{5 * (first + n)},na" for n in range(weeks)]


MEDIA_HEADER = "week,sales,tv_spend,tv_grp,event"
MENTION_HEADER = "mention_id,published_at,source,text"


def mention(number: int, text: str = "fine", at: str = "2024-05-01T10:00:00Z") -> str:
    return f"m{number},{at},reddit,{text}"


def write_client(home: Path, client: str = "acme", **changed: Any) -> Path:
    """The client's folder with every source; a keyword replaces that source's entry in client.yaml (None removes)."""
    folder = home / "clients" / client
    data = folder / "data"
    (data / "pages").mkdir(parents=True, exist_ok=True)
    (data / "media.csv").write_text(lines(MEDIA_HEADER, *media()))
    (data / "experiments.csv").write_text(
        lines(
            "experiment_id,channel,geos,start,end,incremental_outcome,std_error",
            "e1,tv,,2024-01-01,2024-02-01,10,2.5",
            "e2,tv,north;south,2024-01-01,2024-02-01,12,2.5",
        )
    )
    (data / "mentions.csv").write_text(lines(MENTION_HEADER, *(mention(n) for n in range(5))))
    (data / "labelled_mentions.csv").write_text(lines("text,label", "good,Positive", "bad,negative"))
    (data / "campaigns.csv").write_text(
        lines("campaign_id,name,start,end", "c1,Spring,2024-03-01,2024-04-01", "c2,Far,2199-01-01,2199-02-01")
    )
    answer = {
        "answer_id": "a1",
        "asked_at": "2024-05-01",
        "engine": "one",
        "prompt_id": "p1",
        "prompt": "best?",
        "text": "Acme",
        "citations": ["https://acme.example/a;b"],
    }
    (data / "answers.jsonl").write_text(json.dumps(answer) + "\n")
    (data / "pages" / "a.html").write_text(
        '<html><head><link rel="canonical" href="https://acme.example/a"></head></html>'
    )
    call = {
        "call_id": "l1",
        "called_at": "2024-05-01T09:00:00+02:00",
        "model": "m",
        "prompt_name": "p",
        "prompt_version": 3,
        "input": "q",
        "output": "a",
        "latency_ms": 120.5,
        "input_tokens": 10,
        "output_tokens": 12,
    }
    (data / "llm_calls.jsonl").write_text(json.dumps(call) + "\n")
    agent = {
        "agent_id": "g1",
        "type": "chat",
        "owner": "ops",
        "purpose": "help",
        "version": "1",
        "stage": "live",
        "capabilities": ["refund"],
    }
    (data / "agents.yaml").write_text(yaml.safe_dump([agent]))
    step = {
        "run_id": "r1",
        "agent_id": "g1",
        "step": 0,
        "at": "2024-05-01",
        "kind": "tool_call",
        "tool": "refund",
        "arguments": {"amount": 5},
    }
    (data / "agent_steps.jsonl").write_text(json.dumps(step) + "\n")
    (data / "outcomes.csv").write_text(
        lines(
            "outcome_id,decided_at,context,action,metric,effect,std_error",
            "o1,2024-05-01,drop,reply,sales,3,1",
        )
    )
    (data / "notes.jsonl").write_text(
        json.dumps({"note_id": "n1", "at": "2024-05-01", "text": "learned", "tags": ["a", "b"]}) + "\n"
    )
    configured: dict[str, Any] = {name: {"path": path} for name, path in FILE_SOURCES.items()}
    configured = configured | {"marketing": MARKETING} | changed
    configured = {name: entry for name, entry in configured.items() if entry is not None}
    (folder / "client.yaml").write_text(yaml.safe_dump({"client": client, "sources": configured}))
    return folder


def run(instance: dg.DagsterInstance, client: str = "acme", select: str | None = None) -> dg.ExecuteInProcessResult:
    """Materialise sources (all, or the assets named) with the real IO manager; never raises."""
    instance.add_dynamic_partitions("clients", [client])
    assets = dg.load_assets_from_modules([sources])
    return dg.materialize(
        assets,
        instance=instance,
        partition_key=client,
        raise_on_error=False,
        selection=dg.AssetSelection.from_string(select) if select else None,
        resources={"lake": LakeResource(), "lake_io": LakeIOManager(), "spine": SpineResource()},
    )


def lake(home: Path) -> Lake:
    return Lake(str(home / "lake"))


def failure(result: dg.ExecuteInProcessResult, step: str) -> str:
    """What the step's failure says to a person; empty when it did not fail."""
    for event in result.all_events:
        if event.is_step_failure and event.step_key == step:
            data = event.step_failure_data
            failed = data.user_failure_data
            return str(failed.description if failed else data.error.message)
    return ""


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    """`asset.check` of every blocking check that failed."""
    return {
        f"{found.asset_key.path[-1]}.{found.check_name}"
        for found in result.get_asset_check_evaluations()
        if not found.passed and found.severity == dg.AssetCheckSeverity.ERROR
    }
