"""Runs judge models over recorded calls: the newest first, none twice, with what each answer took."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from liftos_pipelines.clients import JudgeSettings
from liftos_pipelines.modules.llm.prices import PriceTable
from liftos_pipelines.resources.judge_model import EntailmentJudge, JudgeError, Judgement, ServiceJudge
from liftos_pipelines.tables import table

GIVEN_UP_AFTER = 3
"""Failures in a row after which a judge is not asked again in this run."""


def judge_calls(
    calls: pl.DataFrame,
    before: pl.DataFrame,
    judges: Sequence[tuple[EntailmentJudge | ServiceJudge, JudgeSettings]],
    prices: PriceTable,
) -> pl.DataFrame:
    """New rows of `llm/judgements`: what was not judged yet, an error named in its row and without a probability."""
    contract = table("llm/judgements")
    readable = calls.filter((pl.col("context").fill_null("") != "") & (pl.col("output").fill_null("") != ""))
    readable = readable.sort("called_at", "call_id", descending=True)
    rows: list[dict[str, object]] = []
    for judge, settings in judges:
        done = set(before.filter((pl.col("judge") == judge.name) & pl.col("error").is_null())["call_id"])
        waiting = readable.filter(~pl.col("call_id").is_in(list(done))).head(settings.max_calls)
        failures = 0
        for call_id, output, context, prompt in waiting.select("call_id", "output", "context", "input").iter_rows():
            if failures >= GIVEN_UP_AFTER:
                break
            row: dict[str, object] = {"judge": judge.name, "call_id": call_id}
            try:
                answer = judge.judge(output, context, prompt)
                failures = 0
                row |= {
                    "probability": answer.probability,
                    "latency_ms": answer.latency_ms,
                    "cost": _cost(answer, settings, prices),
                }
            except JudgeError as error:
                failures += 1
                row["error"] = str(error)
            rows.append(row)
    full = [{name: row.get(name) for name in contract.columns} for row in rows]
    return contract.conform(pl.DataFrame(full, schema=contract.columns, orient="row"))


def _cost(answer: Judgement, settings: JudgeSettings, prices: PriceTable) -> float | None:
    """What the tokens cost by the client's prices; None where tokens or price are not known."""
    if settings.model is None or answer.input_tokens is None or answer.output_tokens is None:
        return None
    cost = prices.cost(settings.model, answer.input_tokens, answer.output_tokens)
    return None if cost is None else float(cost)
