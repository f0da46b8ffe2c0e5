"""Build the client `public` from published data sets: every module has something real to work on.

    python examples/public_data/assemble.py --data ../shared/data --out $LIFTOS_HOME/clients/public

What is real: every text, answer, page, label, tool call, reward and marketing figure. What is assigned here,
because the data sets do not say it: the times of mentions, LLM calls and agent steps, deterministically from
each row's id. What they do not say and nobody can assign (latency, tokens, cost) stays empty, which is unknown.
See the README beside this file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

LAST_DAY = datetime(2024, 1, 21, tzinfo=UTC)
"""The last day of Meridian's last week; mentions and calls lead up to it."""
MENTION_DAYS, CALL_DAYS, RUN_DAYS = 364, 84, 84
AGENT = "airline-assistant"

CLIENT: dict[str, Any] = {
    "client": "public",
    "currency": "USD",
    "brand": {
        "name": "Apple",
        "aliases": ["iPhone", "MacBook", "AirPods", "iPad", "Apple Watch"],
        "domains": ["apple.com"],
        "competitors": [
            {"name": "Samsung", "aliases": ["Samsung Galaxy"], "domains": ["samsung.com"]},
            {"name": "HP", "aliases": ["Hewlett-Packard"], "domains": ["hp.com"]},
            {"name": "Dell", "aliases": [], "domains": ["dell.com"]},
            {"name": "Lenovo", "aliases": ["ThinkPad"], "domains": ["lenovo.com"]},
            {"name": "ASUS", "aliases": ["Zenbook"], "domains": ["asus.com"]},
            {"name": "Acer", "aliases": [], "domains": ["acer.com"]},
            {"name": "Sony", "aliases": [], "domains": ["sony.com"]},
            {"name": "OnePlus", "aliases": [], "domains": ["oneplus.com"]},
            {"name": "Motorola", "aliases": [], "domains": ["motorola.com"]},
        ],
    },
    "sources": {
        "marketing": {
            "path": "data/geo_media.csv",
            "date": "time",
            "geo": "geo",
            "outcome": "conversions",
            "revenue_per_outcome": "revenue_per_conversion",
            "population": "population",
            "channels": {
                f"channel{n}": {"spend": f"Channel{n}_spend", "exposure": f"Channel{n}_impression"} for n in range(4)
            },
            "controls": ["competitor_activity_score_control", "sentiment_score_control"],
        },
        "mentions": {"path": "data/mentions.csv"},
        "answers": {"path": "data/answers.jsonl"},
        "pages": {"path": "data/pages/*.html.gz"},
        "llm_calls": {"path": "data/llm_calls.jsonl"},
        "agents": {"path": "data/agents.yaml"},
        "agent_steps": {"path": "data/agent_steps.jsonl"},
    },
}


def assemble(data: Path, out: Path) -> dict[str, int]:
    """Write the client folder; returns rows (or files) a source. The same data give the same bytes.

    Raises
    ------
    FileNotFoundError : a data set is not below `data`
    """
    target = out / "data"
    (target / "pages").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data / "mmm/meridian/geo_media.csv", target / "geo_media.csv")
    agents, steps = agent_runs(data / "agentic/tau_bench/gpt-4o-airline.json")
    counts = {
        "mentions": _write_csv(target / "mentions.csv", mentions(data / "sentiment")),
        "answers": _write_jsonl(target / "answers.jsonl", answers(data / "surfacing/ai_product_bench")),
        "pages": copy_pages(data / "surfacing/pages", target / "pages"),
        "llm_calls": _write_jsonl(target / "llm_calls.jsonl", llm_calls(data / "llm/ragchecker")),
        "agent_steps": _write_jsonl(target / "agent_steps.jsonl", steps),
    }
    (target / "agents.yaml").write_text(yaml.safe_dump(agents, sort_keys=False), encoding="utf-8")
    client = CLIENT | {"client": out.resolve().name}
    (out / "client.yaml").write_text(yaml.safe_dump(client, sort_keys=False), encoding="utf-8")
    return counts


def mentions(folder: Path) -> Iterator[dict[str, str]]:
    """Tweets of eight languages (UMSAB), tweets and product-review sentences (VADER); language is left to be found."""
    for language in sorted(path for path in (folder / "umsab").iterdir() if path.is_dir()):
        for split in ("train", "val"):
            texts = (language / f"{split}_text.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
            for number, text in enumerate(texts, start=1):
                yield _mention(f"umsab-{language.name}-{split}-{number}", "twitter", text)
    for name, source in (("tweets", "twitter"), ("amazonReviewSnippets", "amazon")):
        lines = (folder / f"vader_icwsm/{name}_GroundTruth.txt").read_text(encoding="utf-8").split("\n")
        for line in filter(str.strip, lines):
            identifier, _, text = line.rstrip("\r").split("\t", 2)
            yield _mention(f"vader-{name}-{identifier}", source, text)


def _mention(identifier: str, source: str, text: str) -> dict[str, str]:
    moment = LAST_DAY - _back(identifier, MENTION_DAYS)
    return {"mention_id": identifier, "published_at": moment.isoformat(), "source": source, "text": text}


def answers(folder: Path) -> Iterator[dict[str, Any]]:
    """792 answers of two engines, with the times they were recorded at and the sources they cite."""
    queries = [json.loads(line) for line in _lines(folder / "queries.jsonl")]
    for engine in ("chatgpt", "google_ai_mode"):
        for run in (1, 2, 3):
            for line in _lines(folder / f"responses/{engine}/run_{run}.jsonl"):
                row = json.loads(line)
                number = int(row["query_id"].removeprefix("query-")) - 2219
                topic, wording = queries[number // 4], number % 4
                yield {
                    "answer_id": f"{engine}-{run}-{row['query_id']}",
                    "asked_at": row["metadata"]["timestamp"],
                    "engine": engine,
                    "prompt_id": row["query_id"],
                    "prompt": topic["variations"][wording]["text"],
                    "run": str(run),
                    "text": row["response"],
                    "citations": [source["url"] for source in row["sources"] if source.get("url")],
                }


def copy_pages(folder: Path, target: Path) -> int:
    """Saved web pages, and their addresses as `pages.csv`."""
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    rows = []
    for key in sorted(truth):
        shutil.copyfile(folder / f"html/{key}.html.gz", target / f"{key}.html.gz")
        rows.append({"path": f"{key}.html.gz", "url": truth[key]["url"]})
    return _write_csv(target / "pages.csv", rows)


def llm_calls(folder: Path) -> Iterator[dict[str, Any]]:
    """Both answers of each RAGChecker pair; feedback is the sign of the two annotators' summed preference.

    A positive label prefers the second model. The reference answer is what the output must agree with.
    """
    pairs: dict[int, list[dict[str, Any]]] = {}
    for row in json.loads((folder / "human_labeled_data.json").read_text(encoding="utf-8")):
        pairs.setdefault(row["instance_id"], []).append(row)
    for instance, annotated in sorted(pairs.items()):
        row, preference = annotated[0], sum(label["overall_label"] for label in annotated)
        for side, sign in (("model1", -1), ("model2", 1)):
            identifier = f"ragchecker-{instance}-{side}"
            yield {
                "call_id": identifier,
                "called_at": (LAST_DAY - _back(identifier, CALL_DAYS)).isoformat(),
                "model": row[side]["model_name"],
                "prompt_name": row["dataset"],
                "prompt_version": "1",
                "variant": side,
                "input": row["query"],
                "context": row["gt_answer"],
                "output": row[side]["response"],
                "latency_ms": None,
                "input_tokens": None,
                "output_tokens": None,
                "user_feedback": sign * ((preference > 0) - (preference < 0)),
                "reference": row["gt_answer"],
            }


def agent_runs(file: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One agent and the steps of its 200 recorded runs, ten seconds apart; its capabilities are the tools it used.

    The system prompt, the same in every run, is left out.
    """
    steps: list[dict[str, Any]] = []
    tools: set[str] = set()
    for run in json.loads(file.read_text(encoding="utf-8")):
        run_id = f"task-{run['task_id']}-trial-{run['trial']}"
        start = LAST_DAY - _back(run_id, RUN_DAYS)
        said = [part for message in run["traj"] for part in _parts(message)]
        said.append({"kind": "outcome", "reward": float(run["reward"])})
        for number, part in enumerate(said):
            moment = (start + timedelta(seconds=10 * number)).isoformat()
            task = {"task_id": str(run["task_id"])}
            steps.append({"run_id": run_id, "agent_id": AGENT, "step": number, "at": moment, **part, **task})
            if part["kind"] == "tool_call":
                tools.add(part["tool"])
    agent = {
        "agent_id": AGENT,
        "type": "customer_service",
        "owner": "research",
        "purpose": "Books, changes and cancels flights for customers (tau-bench, airline)",
        "version": "gpt-4o",
        "stage": "shadow",
        "capabilities": sorted(tools),
    }
    return [agent], steps


def _parts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if message["role"] == "tool":
        yield {"kind": "tool_result", "tool": message["name"], "content": message["content"]}
    elif message["role"] != "system":
        if message["content"]:
            speaker = "user: " if message["role"] == "user" else ""
            yield {"kind": "message", "content": speaker + message["content"]}
        for call in message.get("tool_calls") or []:
            function = call["function"]
            yield {"kind": "tool_call", "tool": function["name"], "arguments": function["arguments"]}


def _back(identifier: str, days: int) -> timedelta:
    """A time span below `days` that depends on the id alone."""
    share = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:6], "big") / 2**48
    return timedelta(seconds=int(share * days * 86_400))


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _write_csv(file: Path, rows: Iterable[dict[str, str]]) -> int:
    listed = list(rows)
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    return len(listed)


def _write_jsonl(file: Path, rows: Iterable[dict[str, Any]]) -> int:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.write_text("".join(lines), encoding="utf-8", newline="\n")
    return len(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a client folder from published data sets.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets (mmm/, sentiment/, ...)")
    parser.add_argument(
        "--out", type=Path, required=True, help="the client's folder, such as $LIFTOS_HOME/clients/public"
    )
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is not a folder")
    try:
        counts = assemble(arguments.data, arguments.out)
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing; see examples/public_data/README.md for what is needed")
    for source, count in counts.items():
        print(f"{source:12} {count:>7,}")
    print(f"Next: liftos run {arguments.out.resolve().name}")


if __name__ == "__main__":
    main()
