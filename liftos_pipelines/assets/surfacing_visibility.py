"""Lift Surfacing measures: how visible each brand is, where it is missing, with intervals that know prompts repeat."""

import dagster as dg
import polars as pl

from liftos_pipelines.assets.common import client_of, inputs, lift_asset, result, skipped
from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules import surfacing as lift
from liftos_pipelines.modules.surfacing.visibility import gaps as missing
from liftos_pipelines.modules.surfacing.visibility.prompt_groups import prompt_groups
from liftos_pipelines.modules.surfacing.visibility.visibility import visibility as visibility_of
from liftos_pipelines.modules.surfacing.visibility.visibility_posterior import visibility_posterior as posterior_of
from liftos_pipelines.tables import ALL
from liftos_pipelines.templates.loader import load_template, prompt_panel

SEED = 20240611
READ = inputs("surfacing/answer_mentions", "sources/answers")


def groups_of(client: ClientConfig, answers: pl.DataFrame) -> pl.DataFrame:
    """Intent, funnel stage and wording of the client's prompts, by its industry's template."""
    if client.brand is None:
        return prompt_groups(answers, [], None)
    competitors = [competitor.name for competitor in client.brand.competitors]
    panel = prompt_panel(
        load_template(client.industry, client.folder), brand=client.brand.name, competitors=competitors
    )
    return prompt_groups(answers, panel, client.brand.as_name())


@lift_asset("surfacing/visibility", ins=READ, kinds={"polars"}, code_version="2")
def visibility(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Ten measures of visibility by month, engine and prompt group, with prompt-clustered 90 % intervals."""
    if answer_mentions.is_empty():
        return skipped("surfacing/visibility", "answers")
    rates = visibility_of(answer_mentions, groups_of(client_of(context), answers), seed=SEED)
    newest = rates.filter(pl.col("own"), pl.col("engine") == ALL, pl.col("group") == ALL).filter(
        pl.col("period") == pl.col("period").max()
    )
    values = dict(newest.select("metric", "value").iter_rows())
    return result(
        rates,
        prompts=newest["n_prompts"].max(),
        groups=float(rates["group"].n_unique() - 1) if rates.height else None,
        **{metric: values.get(metric) for metric in lift.METRICS},
    )


@lift_asset("surfacing/prompt_gaps", ins=READ, kinds={"polars"}, code_version="1")
def prompt_gaps(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Prompts whose answers name a competitor and the brand less often or never, in the newest month."""
    if answer_mentions.is_empty():
        return skipped("surfacing/prompt_gaps", "answers")
    gaps = missing.prompt_gaps(answer_mentions, answers)
    whole = gaps.filter(pl.col("engine") == ALL)
    return result(gaps, prompts_with_a_gap=whole.height, prompts_never_named=int(whole["never"].sum()))


@lift_asset("surfacing/source_gaps", ins=READ, kinds={"polars"}, code_version="1")
def source_gaps(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame, answers: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Domains cited by answers that name competitors and not the brand, in the newest month."""
    client = client_of(context)
    if answer_mentions.is_empty() or client.brand is None:
        return skipped("surfacing/source_gaps", "answers" if answer_mentions.is_empty() else "brand in client.yaml")
    gaps = missing.source_gaps(answer_mentions, answers, client.brand.names())
    whole = gaps.filter(pl.col("engine") == ALL)
    return result(gaps, domains=whole.height, gap_answers=whole["gap_answers"].max() if whole.height else None)


@lift_asset(
    "surfacing/visibility_posterior", ins=inputs("surfacing/answer_mentions"), kinds={"polars"}, code_version="1"
)
def visibility_posterior(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """Mention rates by a hierarchical Bayesian model: interval, within-prompt correlation, probability of each rank."""
    if answer_mentions.is_empty():
        return skipped("surfacing/visibility_posterior", "answers")
    rates, _ = posterior_of(answer_mentions, seed=SEED)
    newest = rates.filter(pl.col("own"), pl.col("engine") == ALL).filter(pl.col("period") == pl.col("period").max())
    own = newest.row(0, named=True) if newest.height else {}
    return result(rates, **{name: own.get(name) for name in ("rate", "low", "high", "icc", "p_first")})


@lift_asset("surfacing/visibility_pairs", ins=inputs("surfacing/answer_mentions"), kinds={"polars"}, code_version="1")
def visibility_pairs(
    context: dg.AssetExecutionContext, answer_mentions: pl.DataFrame
) -> dg.MaterializeResult[pl.DataFrame]:
    """For every two brands, the probability that one is named more often, and by how much, in the newest month."""
    if answer_mentions.is_empty():
        return skipped("surfacing/visibility_pairs", "answers")
    # The same seed gives the same draws as above; making them again takes less time than storing them would.
    _, pairs = posterior_of(answer_mentions, seed=SEED)
    return result(pairs)
