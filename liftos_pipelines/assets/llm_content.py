"""Lift LLM's content: generated advertisements, pages, e-mails and answers, each held to what its purpose asks."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import dagster as dg
import polars as pl
import yaml

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.llm.content.score import content_performance as performance_of
from liftos_pipelines.modules.llm.content.score import content_scores as scores_of
from liftos_pipelines.modules.llm.content.templates import ContentError, ContentTemplate, content_templates

FILE = "content.yaml"
CALLS = inputs("sources/llm_calls", "llm/call_scores")


@lift_asset("llm/content_scores", ins=CALLS, kinds={"polars"}, code_version="1")
def content_scores(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, call_scores: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Each generated text by the metrics of its content template (ad copy, SEO, e-mail, chat, or the client's own):
    value, goal, and whether it is met."""
    if llm_calls.is_empty():
        return skipped("llm/content_scores", "llm_calls")
    client = client_of(context)
    names = [client.brand.name, *client.brand.aliases] if client.brand else []
    scored = scores_of(llm_calls, call_scores, client_templates(client), names)
    met = scored["met"].drop_nulls()
    return result(
        scored,
        texts=scored["call_id"].n_unique(),
        met_share=met.mean(),
        by_template=scored.group_by("template").agg(pl.col("call_id").n_unique().alias("texts"), pl.col("met").mean()),
    )


@lift_asset(
    "llm/content_performance", ins=inputs("sources/llm_calls", "llm/content_scores"), kinds={"polars"}, code_version="2"
)
def content_performance(
    context: dg.AssetExecutionContext, llm_calls: pl.DataFrame, content_scores: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """How often each metric of a content template is met, by prompt, version and model, with 90 % intervals."""
    if llm_calls.is_empty():
        return skipped("llm/content_performance", "llm_calls")
    measured = performance_of(llm_calls, content_scores)
    known = measured.drop_nulls("met_rate")
    worst = (
        known.sort("met_rate").head(5).select("template", "metric", "prompt_name", "prompt_version", "met_rate", "n")
    )
    return result(measured, metrics=measured.height, weakest=worst)


def client_templates(client: ClientConfig) -> dict[str, ContentTemplate]:
    """The packaged templates, overlaid by the client's `content.yaml` where there is one.

    Raises
    ------
    ContentError : the client's file is unreadable or asks for what is not measured
    """
    file = client.folder / FILE
    if not file.is_file():
        return _packaged()
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContentError(f"{file}: not readable as YAML: {error}") from error
    return content_templates(content, file=str(file), base=_packaged())


@lru_cache(maxsize=1)
def _packaged() -> dict[str, ContentTemplate]:
    text = files("liftos_pipelines.templates").joinpath("content", "default.yaml").read_text(encoding="utf-8")
    return content_templates(yaml.safe_load(text), file="default content templates")
