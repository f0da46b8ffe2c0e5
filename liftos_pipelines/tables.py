"""The contract: every table's columns, types, key and way of being written.

One entry a table, keyed `module/asset` as in Dagster. The lake's IO manager casts what an asset returns to
these types and refuses a frame that lacks a contract column; more columns are welcome and pass through.
A reader who wants to know what a table holds looks here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

TEXT, INT, FLOAT, BOOL = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
DATE, TIME = pl.Date(), pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String())
BASIC_EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
"""Ekman's six, and none of them; several may hold at once."""

ALL = "all"
"""The value of a grouping column (geo, campaign_id, engine) in a row that stands for the total."""


class ContractError(ValueError):
    """A frame does not keep its table's contract; the message names the table, the column and the fix."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of the lake.

    `optional` columns may be absent from a source (they are then null), `key` identifies a row, and
    `write` is `snapshot` (each materialisation replaces the table) or `merge` (rows are upserted by key).
    """

    name: str
    columns: dict[str, pl.DataType]
    key: tuple[str, ...]
    write: Literal["snapshot", "merge"] = "snapshot"
    optional: frozenset[str] = frozenset()

    def empty(self) -> pl.DataFrame:
        """A frame with the contract's columns and no row."""
        return pl.DataFrame(schema=self.columns)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The same rows, contract columns first and typed; extra columns follow as they are. An absent optional column
        is null.

        Raises
        ------
        ContractError : a contract column is missing or cannot be cast, naming it
        """
        absent = [name for name in self.columns if name not in frame.columns]
        frame = frame.with_columns(pl.lit(None, dtype=self.columns[name]).alias(name) for name in absent)
        missing = [name for name in absent if name not in self.optional]
        if missing:
            raise ContractError(
                f"{self.name}: column(s) {', '.join(missing)} missing from the result; "
                f"it has {', '.join(name for name in frame.columns if name not in absent)}"
            )
        casts = []
        for name, dtype in self.columns.items():
            column = pl.col(name)
            if dtype == TIME and frame.schema[name] == pl.Datetime("us"):
                column = column.dt.replace_time_zone("UTC")
            casts.append(column.cast(dtype))
        try:
            typed = frame.select(*casts, pl.exclude(list(self.columns)))
        except (pl.exceptions.InvalidOperationError, pl.exceptions.SchemaError) as error:
            raise ContractError(f"{self.name}: a column does not have the contract's type: {error}") from error
        # Delta has no null type: an extra column without a single value carries no information yet.
        return typed.drop([name for name, dtype in typed.schema.items() if dtype == pl.Null])


def _source(name: str, key: tuple[str, ...], columns: dict[str, pl.DataType], optional: str = "") -> Table:
    return Table(name=f"sources/{name}", columns=columns, key=key, write="merge", optional=frozenset(optional.split()))


def _table(
    name: str, key: str, columns: dict[str, pl.DataType], write: Literal["snapshot", "merge"] = "snapshot"
) -> Table:
    return Table(name=name, columns=columns, key=tuple(key.split()), write=write)


_TABLES = [
    # --- sources: what the client brings -----------------------------------------------------------------
    _source(
        "marketing_outcome",
        ("date", "geo"),
        {"date": DATE, "geo": TEXT, "outcome": FLOAT, "revenue": FLOAT, "population": FLOAT},
        optional="revenue population",
    ),
    _source(
        "marketing_media",
        ("date", "geo", "channel"),
        {
            "date": DATE,
            "geo": TEXT,
            "channel": TEXT,
            "spend": FLOAT,
            "exposure": FLOAT,
            "kind": TEXT,
            "reach": FLOAT,
            "frequency": FLOAT,
        },
        optional="spend reach frequency",
    ),
    _source(
        "marketing_controls",
        ("date", "geo", "control"),
        {"date": DATE, "geo": TEXT, "control": TEXT, "value": FLOAT},
    ),
    _source(
        "experiments",
        ("experiment_id",),
        {
            "experiment_id": TEXT,
            "channel": TEXT,
            "geos": TEXTS,
            "start": DATE,
            "end": DATE,
            "incremental_outcome": FLOAT,
            "std_error": FLOAT,
            "spend": FLOAT,
        },
        optional="geos spend",
    ),
    _source(
        "mentions",
        ("mention_id",),
        {
            "mention_id": TEXT,
            "published_at": TIME,
            "source": TEXT,
            "text": TEXT,
            "author": TEXT,
            "language": TEXT,
            "campaign_id": TEXT,
            "url": TEXT,
            "engagement": FLOAT,
            "rating": FLOAT,
        },
        optional="author language campaign_id url engagement rating",
    ),
    _source(
        "labelled_mentions",
        ("text",),
        {"text": TEXT, "label": TEXT, "language": TEXT},
        optional="language",
    ),
    _source(
        "campaigns",
        ("campaign_id",),
        {
            "campaign_id": TEXT,
            "name": TEXT,
            "channel": TEXT,
            "start": DATE,
            "end": DATE,
            "budget": FLOAT,
            "objective": TEXT,
        },
        optional="channel budget objective",
    ),
    _source(
        "answers",
        ("answer_id",),
        {
            "answer_id": TEXT,
            "asked_at": TIME,
            "engine": TEXT,
            "prompt_id": TEXT,
            "prompt": TEXT,
            "run": TEXT,
            "text": TEXT,
            "citations": TEXTS,
            "model": TEXT,
            "parser_version": TEXT,
        },
        optional="run citations model parser_version",
    ),
    _source("pages", ("url",), {"url": TEXT, "path": TEXT, "html": TEXT}),
    _source(
        "llm_calls",
        ("call_id",),
        {
            "call_id": TEXT,
            "called_at": TIME,
            "model": TEXT,
            "prompt_name": TEXT,
            "prompt_version": TEXT,
            "variant": TEXT,
            "input": TEXT,
            "context": TEXT,
            "output": TEXT,
            "latency_ms": FLOAT,
            "input_tokens": INT,
            "output_tokens": INT,
            "cost": FLOAT,
            "user_feedback": INT,
            "reference": TEXT,
            "error": TEXT,
        },
        optional="variant context cost user_feedback reference error",
    ),
    _source(
        "agents",
        ("agent_id",),
        {
            "agent_id": TEXT,
            "type": TEXT,
            "owner": TEXT,
            "purpose": TEXT,
            "version": TEXT,
            "stage": TEXT,
            "capabilities": TEXTS,
            "budget": FLOAT,
            "rollback_to": TEXT,
        },
        optional="budget rollback_to",
    ),
    _source(
        "agent_steps",
        ("run_id", "step"),
        {
            "run_id": TEXT,
            "agent_id": TEXT,
            "step": INT,
            "at": TIME,
            "kind": TEXT,
            "tool": TEXT,
            "arguments": TEXT,
            "content": TEXT,
            "cost": FLOAT,
            "confidence": FLOAT,
            "reward": FLOAT,
            "agent_version": TEXT,
            "task_id": TEXT,
        },
        optional="tool arguments content cost confidence reward agent_version task_id",
    ),
    _source(
        "outcomes",
        ("outcome_id",),
        {
            "outcome_id": TEXT,
            "decided_at": TIME,
            "context": TEXT,
            "action": TEXT,
            "metric": TEXT,
            "effect": FLOAT,
            "std_error": FLOAT,
            "campaign_id": TEXT,
            "domain": TEXT,
        },
        optional="campaign_id domain",
    ),
    _source(
        "notes",
        ("note_id",),
        {"note_id": TEXT, "at": TIME, "text": TEXT, "author": TEXT, "subject": TEXT, "tags": TEXTS},
        optional="author subject tags",
    ),
    # --- causal ------------------------------------------------------------------------------------------
    _table(
        "causal/panel",
        "date geo",
        {"date": DATE, "geo": TEXT, "outcome": FLOAT, "revenue_per_outcome": FLOAT, "population": FLOAT},
    ),
    _table(
        "causal/channel_results",
        "channel geo",
        {
            "channel": TEXT,
            "geo": TEXT,
            "spend": FLOAT,
            "contribution": FLOAT,
            "contribution_low": FLOAT,
            "contribution_high": FLOAT,
            "roi": FLOAT,
            "roi_low": FLOAT,
            "roi_high": FLOAT,
            "mroi": FLOAT,
            "mroi_low": FLOAT,
            "mroi_high": FLOAT,
        },
    ),
    _table(
        "causal/response_curves",
        "channel spend",
        {"channel": TEXT, "spend": FLOAT, "response": FLOAT, "response_low": FLOAT, "response_high": FLOAT},
    ),
    _table(
        "causal/budget_plan",
        "channel",
        {
            "channel": TEXT,
            "spend_current": FLOAT,
            "spend_planned": FLOAT,
            "response_current": FLOAT,
            "response_planned": FLOAT,
            "uplift": FLOAT,
            "uplift_low": FLOAT,
            "uplift_high": FLOAT,
        },
    ),
    _table(
        "causal/campaign_outlook",
        "campaign_id",
        {
            "campaign_id": TEXT,
            "channel": TEXT,
            "made_at": TIME,
            "outcome_from": DATE,
            "first_week": DATE,
            "last_week": DATE,
            "weeks": INT,
            "budget": FLOAT,
            "expected": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "unit": TEXT,
            "outcome": FLOAT,
            "outcome_low": FLOAT,
            "outcome_high": FLOAT,
            "geos": TEXTS,
            "beyond_observed": BOOL,
            "status": TEXT,
            "conditions": TEXT,
        },
    ),
    _table(
        "causal/budget_suggestions",
        "suggestion_id",
        {
            "suggestion_id": TEXT,
            "made_at": TIME,
            "campaign_id": TEXT,
            "channel": TEXT,
            "amount": FLOAT,
            "currency": TEXT,
            "expected": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "unit": TEXT,
            "weeks": INT,
            "insight_id": TEXT,
            "pattern_id": TEXT,
            "validated": BOOL,
            "reason": TEXT,
        },
    ),
    _table(
        "causal/contributions",
        "date geo channel",
        {
            "date": DATE,
            "geo": TEXT,
            "channel": TEXT,
            "contribution": FLOAT,
            "contribution_low": FLOAT,
            "contribution_high": FLOAT,
        },
    ),
    _table(
        "causal/returns",
        "period geo channel",
        {
            "period": TEXT,
            "geo": TEXT,
            "channel": TEXT,
            "spend": FLOAT,
            "contribution": FLOAT,
            "contribution_low": FLOAT,
            "contribution_high": FLOAT,
            "roi": FLOAT,
            "roi_low": FLOAT,
            "roi_high": FLOAT,
            "mroi": FLOAT,
            "mroi_low": FLOAT,
            "mroi_high": FLOAT,
        },
    ),
    _table(
        "causal/plan_steps",
        "channel step",
        {
            "channel": TEXT,
            "step": INT,
            "week_start": DATE,
            "week_end": DATE,
            "spend_current": FLOAT,
            "spend_planned": FLOAT,
        },
    ),
    _table(
        "causal/scenarios",
        "scenario channel",
        {
            "scenario": TEXT,
            "channel": TEXT,
            "spend": FLOAT,
            "spend_current": FLOAT,
            "incremental": FLOAT,
            "incremental_low": FLOAT,
            "incremental_high": FLOAT,
            "uplift": FLOAT,
            "uplift_low": FLOAT,
            "uplift_high": FLOAT,
            "probability_better": FLOAT,
        },
    ),
    _table(
        "causal/scenario_weeks",
        "scenario date geo",
        {
            "scenario": TEXT,
            "date": DATE,
            "geo": TEXT,
            "outcome": FLOAT,
            "outcome_low": FLOAT,
            "outcome_high": FLOAT,
            "outcome_current": FLOAT,
        },
    ),
    _table(
        "causal/validation",
        "check",
        {"check": TEXT, "value": FLOAT, "threshold": FLOAT, "status": TEXT, "detail": TEXT},
    ),
    _table(
        "causal/monitor",
        "as_of",
        {"as_of": DATE, "method": TEXT, "k_hat": FLOAT, "ess": FLOAT, "drift_flag": BOOL},
        write="merge",
    ),
    _table(
        "causal/channel_update",
        "channel",
        {
            "channel": TEXT,
            "roi": FLOAT,
            "roi_low": FLOAT,
            "roi_high": FLOAT,
            "roi_stale": FLOAT,
            "as_of": DATE,
            "method": TEXT,
            "k_hat": FLOAT,
            "ess": FLOAT,
        },
    ),
    _table(
        "causal/fit_history",
        "version quantity",
        {
            "version": TEXT,
            "quantity": TEXT,
            "fitted_at": TIME,
            "first_week": DATE,
            "last_week": DATE,
            "comparable": TEXT,
            "kind": TEXT,
            "channel": TEXT,
            "mean": FLOAT,
            "sd": FLOAT,
            "mcse": FLOAT,
        },
        write="merge",
    ),
    _table(
        "causal/patterns",
        "pattern_id",
        {
            "pattern_id": TEXT,
            "kind": TEXT,
            "channel": TEXT,
            "first_seen": DATE,
            "last_seen": DATE,
            "strength": FLOAT,
            "p_value": FLOAT,
            "detail": TEXT,
        },
        write="merge",
    ),
    _table(
        "causal/impact",
        "event_id",
        {
            "event_id": TEXT,
            "window_start": DATE,
            "window_end": DATE,
            "effect": FLOAT,
            "effect_low": FLOAT,
            "effect_high": FLOAT,
            "revenue_at_risk": FLOAT,
            "probability_harmful": FLOAT,
        },
    ),
    _table(
        "causal/experiment_readout",
        "experiment_id method",
        {
            "experiment_id": TEXT,
            "channel": TEXT,
            "method": TEXT,
            "effect": FLOAT,
            "effect_low": FLOAT,
            "effect_high": FLOAT,
            "p_value": FLOAT,
            "p_placebo": FLOAT,
            "reported_effect": FLOAT,
            "reported_std_error": FLOAT,
            "agrees": TEXT,
            "detail": TEXT,
        },
    ),
    # --- sentiment ---------------------------------------------------------------------------------------
    _table(
        "sentiment/model",
        "model_id",
        {
            "model_id": TEXT,
            "origin": TEXT,
            "n_labelled": INT,
            "n_clusters": INT,
            "default_macro_f1": FLOAT,
            "client_macro_f1": FLOAT,
            "reason": TEXT,
        },
    ),
    _table(
        "sentiment/mention_scores",
        "mention_id",
        {
            "mention_id": TEXT,
            "language": TEXT,
            "mixed": BOOL,
            "p_negative": FLOAT,
            "p_neutral": FLOAT,
            "p_positive": FLOAT,
            "label": TEXT,
            "confidence": FLOAT,
            "abstained": BOOL,
            "emotions": pl.Struct(dict.fromkeys(BASIC_EMOTIONS, FLOAT)),
            "emotion_groups": pl.Struct(dict.fromkeys(("positive", "negative", "ambiguous", "neutral"), FLOAT)),
            "emotions_fine": pl.List(pl.Struct({"name": TEXT, "probability": FLOAT})),
            "mood": TEXT,
            "mood_probability": FLOAT,
            "irony": FLOAT,
            "topics": TEXTS,
            "targets": pl.List(
                pl.Struct(
                    {
                        "name": TEXT,
                        "label": TEXT,
                        "confidence": FLOAT,
                        "kind": TEXT,
                        "net_sentiment": FLOAT,
                        "compared": TEXT,
                    }
                )
            ),
            "reason": TEXT,
            "model_id": TEXT,
            "text_id": TEXT,
            "scored_with": TEXT,
        },
    ),
    _table(
        "sentiment/culture",
        "language",
        {
            "language": TEXT,
            "n": INT,
            "share_mixed": FLOAT,
            "laughter_rate": FLOAT,
            "honorific_rate": FLOAT,
            "elongation_rate": FLOAT,
            "emoji_rate": FLOAT,
            "model_macro_f1": FLOAT,
            "model_calibration_error": FLOAT,
            "model_net_bias": FLOAT,
            "model_net_bias_low": FLOAT,
            "model_net_bias_high": FLOAT,
        },
    ),
    _table(
        "sentiment/daily_index",
        "date campaign_id source language topic",
        {
            "date": DATE,
            "campaign_id": TEXT,
            "source": TEXT,
            "language": TEXT,
            "topic": TEXT,
            "n": INT,
            "net_sentiment": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
        },
    ),
    _table(
        "sentiment/alerts",
        "alert_id",
        {
            "alert_id": TEXT,
            "detected_at": TIME,
            "campaign_id": TEXT,
            "severity": FLOAT,
            "effect": FLOAT,
            "n": INT,
            "explanation": TEXT,
            "exemplars": TEXTS,
        },
    ),
    _table(
        "sentiment/revenue_link",
        "rung statistic lag_days",
        {
            "lag_days": INT,
            "statistic": TEXT,
            "estimate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "p_value": FLOAT,
            "verdict": TEXT,
            "rung": INT,
            "direction": TEXT,
            "n": INT,
            "controls": TEXT,
            "reliability": FLOAT,
            "smallest_visible": FLOAT,
            "smallest_visible_simulated": FLOAT,
            "smallest_visible_per_tenth": FLOAT,
            "words": TEXT,
        },
    ),
    # --- surfacing ---------------------------------------------------------------------------------------
    _table(
        "surfacing/answer_mentions",
        "answer_id brand",
        {
            "answer_id": TEXT,
            "engine": TEXT,
            "prompt_id": TEXT,
            "brand": TEXT,
            "mentioned": BOOL,
            "rank": INT,
            "sentiment": FLOAT,
            "cited": BOOL,
            "citation_share": FLOAT,
            "position_weighted_words": FLOAT,
        },
    ),
    _table(
        "surfacing/visibility",
        "period engine group brand metric",
        {
            "period": TEXT,
            "engine": TEXT,
            "group": TEXT,
            "brand": TEXT,
            "metric": TEXT,
            "value": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "n_prompts": INT,
            "n_answers": INT,
        },
    ),
    _table(
        "surfacing/prompt_gaps",
        "period engine prompt_id",
        {
            "period": TEXT,
            "engine": TEXT,
            "prompt_id": TEXT,
            "prompt": TEXT,
            "brand": TEXT,
            "brand_rate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "competitor": TEXT,
            "competitor_rate": FLOAT,
            "competitors": INT,
            "answers": INT,
            "never": BOOL,
        },
    ),
    _table(
        "surfacing/source_gaps",
        "period engine domain",
        {
            "period": TEXT,
            "engine": TEXT,
            "domain": TEXT,
            "answers": INT,
            "prompts": INT,
            "gap_answers": INT,
            "share": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "share_when_named": FLOAT,
            "lift": FLOAT,
            "effective_answers": FLOAT,
            "owner": TEXT,
        },
    ),
    _table(
        "surfacing/visibility_posterior",
        "period engine brand",
        {
            "period": TEXT,
            "engine": TEXT,
            "brand": TEXT,
            "own": BOOL,
            "rate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "icc": FLOAT,
            "icc_low": FLOAT,
            "icc_high": FLOAT,
            "p_first": FLOAT,
            "rank_low": INT,
            "rank_high": INT,
            "rank_probabilities": pl.List(FLOAT),
            "edge": FLOAT,
            "draws": INT,
            "n_prompts": INT,
            "n_answers": INT,
        },
    ),
    _table(
        "surfacing/visibility_pairs",
        "period engine brand other",
        {
            "period": TEXT,
            "engine": TEXT,
            "brand": TEXT,
            "other": TEXT,
            "p_above": FLOAT,
            "difference": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
        },
    ),
    _table(
        "surfacing/benchmark",
        "period engine brand metric",
        {
            "period": TEXT,
            "engine": TEXT,
            "brand": TEXT,
            "own": BOOL,
            "metric": TEXT,
            "value": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "compared_with": TEXT,
            "paired_prompts": INT,
            "change": FLOAT,
            "change_low": FLOAT,
            "change_high": FLOAT,
            "quarter_change": FLOAT,
            "quarter_change_low": FLOAT,
            "quarter_change_high": FLOAT,
            "slope": FLOAT,
            "slope_low": FLOAT,
            "slope_high": FLOAT,
            "p_first": FLOAT,
            "rank_low": INT,
            "rank_high": INT,
            "months": INT,
            "n_prompts": INT,
        },
    ),
    _table(
        "surfacing/stability",
        "period engine scope measure",
        {
            "period": TEXT,
            "engine": TEXT,
            "scope": TEXT,
            "measure": TEXT,
            "value": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "n_prompts": INT,
        },
    ),
    _table(
        "surfacing/gap_decomposition",
        "period engine metric dimension part component",
        {
            "period": TEXT,
            "engine": TEXT,
            "metric": TEXT,
            "dimension": TEXT,
            "part": TEXT,
            "component": TEXT,
            "brand": TEXT,
            "competitor": TEXT,
            "value": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "total": FLOAT,
            "compared_with": TEXT,
            "share": FLOAT,
            "brand_rate": FLOAT,
            "competitor_rate": FLOAT,
        },
    ),
    _table(
        "surfacing/shifts",
        "detected_at engine kind brand",
        {"detected_at": TIME, "engine": TEXT, "kind": TEXT, "brand": TEXT, "effect": FLOAT, "p_value": FLOAT},
    ),
    _table(
        "surfacing/page_audit",
        "url dimension",
        {"url": TEXT, "dimension": TEXT, "score": FLOAT, "evidence": TEXT},
    ),
    _table(
        "surfacing/recommendations",
        "recommendation_id",
        {
            "recommendation_id": TEXT,
            "target": TEXT,
            "action": TEXT,
            "expected_effect": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "evidence_grade": TEXT,
            "source_pattern": TEXT,
        },
    ),
    _table(
        "surfacing/recommendation_outcomes",
        "recommendation_id acted_at",
        {
            "recommendation_id": TEXT,
            "acted_at": TIME,
            "how": TEXT,
            "metric": TEXT,
            "status": TEXT,
            "effect": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "std_error": FLOAT,
            "n_watched": INT,
            "n_control": INT,
            "watch_until": DATE,
        },
        write="merge",
    ),
    # --- llm ---------------------------------------------------------------------------------------------
    _table(
        "llm/call_scores",
        "call_id",
        {
            "call_id": TEXT,
            "groundedness": FLOAT,
            "ungrounded_spans": TEXTS,
            "numeric_conflicts": TEXTS,
            "bias_flag": BOOL,
            "toxicity_flag": BOOL,
            "cost": FLOAT,
            "latency_ms": FLOAT,
        },
    ),
    _table(
        "llm/experiments",
        "experiment metric variant_a variant_b",
        {
            "experiment": TEXT,
            "metric": TEXT,
            "variant_a": TEXT,
            "variant_b": TEXT,
            "estimate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "p_b_better": FLOAT,
            "decision": TEXT,
            "n_a": INT,
            "n_b": INT,
            "srm_p_value": FLOAT,
        },
    ),
    _table(
        "llm/performance",
        "period model prompt_name prompt_version",
        {
            "period": TEXT,
            "model": TEXT,
            "prompt_name": TEXT,
            "prompt_version": TEXT,
            "calls": INT,
            "error_rate": FLOAT,
            "latency_p50": FLOAT,
            "latency_p95": FLOAT,
            "cost": FLOAT,
            "groundedness": FLOAT,
        },
    ),
    _table(
        "llm/bias_report",
        "test group",
        {
            "test": TEXT,
            "group": TEXT,
            "statistic": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "p_value_adjusted": FLOAT,
            "verdict": TEXT,
        },
    ),
    # --- agentic -----------------------------------------------------------------------------------------
    _table(
        "agentic/registry",
        "agent_id version",
        {"agent_id": TEXT, "version": TEXT, "stage": TEXT, "readiness": FLOAT, "evidence_n": INT},
    ),
    _table(
        "agentic/policy_decisions",
        "run_id step",
        {
            "run_id": TEXT,
            "step": INT,
            "agent_id": TEXT,
            "decision": TEXT,
            "policy": TEXT,
            "reason": TEXT,
            "policy_version": TEXT,
        },
    ),
    _table(
        "agentic/proposals",
        "action_id",
        {
            "action_id": TEXT,
            "event_id": TEXT,
            "agent_id": TEXT,
            "proposed_at": TIME,
            "action": TEXT,
            "arguments": TEXT,
            "context": TEXT,
            "decision": TEXT,
            "policy": TEXT,
            "reason": TEXT,
            "policy_version": TEXT,
            "status": TEXT,
            "predicted_effect": FLOAT,
            "predicted_low": FLOAT,
            "predicted_high": FLOAT,
        },
    ),
    _table(
        "agentic/stops",
        "agent_id event_id",
        {
            "agent_id": TEXT,
            "event_id": TEXT,
            "reason": TEXT,
            "stopped_at": TIME,
            "until": TIME,
            "resumed_by": TEXT,
            "status": TEXT,
        },
    ),
    _table(
        "agentic/remediations",
        "action_id",
        {
            "action_id": TEXT,
            "action": TEXT,
            "dataset": TEXT,
            "event_id": TEXT,
            "ordered_at": TIME,
            "done_at": TIME,
            "status": TEXT,
            "lake_version": INT,
        },
    ),
    _table(
        "agentic/performance",
        "agent_id version period",
        {
            "agent_id": TEXT,
            "version": TEXT,
            "period": TEXT,
            "runs": INT,
            "success_rate": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "cost": FLOAT,
            "violations": INT,
            "pass_hat_k": pl.List(FLOAT),
        },
    ),
    _table(
        "agentic/rollouts",
        "agent_id from_version to_version",
        {
            "agent_id": TEXT,
            "from_version": TEXT,
            "to_version": TEXT,
            "stage": TEXT,
            "decision": TEXT,
            "evidence": TEXT,
        },
    ),
    _table(
        "agentic/ledger_audit",
        "root_hash",
        {"verified": BOOL, "entries": INT, "first_bad_entry": INT, "root_hash": TEXT},
    ),
    # --- memory ------------------------------------------------------------------------------------------
    _table(
        "memory/items",
        "memory_id recorded_at",
        {
            "memory_id": TEXT,
            "kind": TEXT,
            "text": TEXT,
            "domain": TEXT,
            "valid_from": TIME,
            "valid_to": TIME,
            "recorded_at": TIME,
            "superseded_at": TIME,
            "source": TEXT,
            "outcome": TEXT,
            "effect": FLOAT,
            "std_error": FLOAT,
            "provenance": TEXT,
        },
        write="merge",
    ),
    _table("memory/upkeep", "measure", {"measure": TEXT, "before": FLOAT, "after": FLOAT}),
    _table(
        "memory/patterns",
        "pattern_id",
        {
            "pattern_id": TEXT,
            "query_id": TEXT,
            "memory_ids": TEXTS,
            "similarity": FLOAT,
            "p_success": FLOAT,
            "confidence": FLOAT,
            "abstained": BOOL,
            "action": TEXT,
        },
    ),
    _table(
        "memory/insights",
        "insight_id",
        {
            "insight_id": TEXT,
            "context": TEXT,
            "recommendation": TEXT,
            "confidence": FLOAT,
            "validated": BOOL,
            "evidence": TEXT,
        },
    ),
    _table(
        "memory/insight_outcomes",
        "insight_id",
        {
            "insight_id": TEXT,
            "recommendation": TEXT,
            "campaign_id": TEXT,
            "made_at": TIME,
            "confidence": FLOAT,
            "said": FLOAT,
            "validation_status": TEXT,
            "acted_on": BOOL,
            "action_id": TEXT,
            "acted_at": TIME,
            "memory_id": TEXT,
            "metric": TEXT,
            "effect": FLOAT,
            "std_error": FLOAT,
            "p_right": FLOAT,
        },
    ),
    _table(
        "memory/insight_calibration",
        "source from",
        {
            "source": TEXT,
            "from": FLOAT,
            "to": FLOAT,
            "n": INT,
            "said": FLOAT,
            "was": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
        },
    ),
    _table(
        "memory/retrieval_quality",
        "method metric",
        {"method": TEXT, "metric": TEXT, "value": FLOAT, "low": FLOAT, "high": FLOAT, "n": INT},
    ),
    # --- eval --------------------------------------------------------------------------------------------
    _table(
        "eval/trust_scores",
        "module slo",
        {
            "module": TEXT,
            "slo": TEXT,
            "value": FLOAT,
            "threshold": FLOAT,
            "met": TEXT,
            "probability_met": FLOAT,
            "n": INT,
            "age_hours": FLOAT,
        },
    ),
    _table(
        "eval/drift",
        "dataset column test",
        {
            "dataset": TEXT,
            "column": TEXT,
            "test": TEXT,
            "statistic": FLOAT,
            "threshold": FLOAT,
            "p_value_adjusted": FLOAT,
            "drifted": BOOL,
            "estimated_performance_loss": FLOAT,
        },
    ),
    _table(
        "eval/root_causes",
        "incident_id cause",
        {
            "incident_id": TEXT,
            "module": TEXT,
            "cause": TEXT,
            "contribution": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "evidence": TEXT,
        },
    ),
    _table(
        "eval/predictions",
        "prediction_id",
        {
            "prediction_id": TEXT,
            "made_at": TIME,
            "module": TEXT,
            "subject": TEXT,
            "what": TEXT,
            "predicted": FLOAT,
            "low": FLOAT,
            "high": FLOAT,
            "due_at": TIME,
            "outcome": FLOAT,
            "outcome_at": TIME,
            "inside": BOOL,
            "status": TEXT,
        },
    ),
    _table(
        "eval/platform_trust",
        "client module",
        {"client": TEXT, "module": TEXT, "met": INT, "slos": INT, "unknown": INT, "probability_met": FLOAT},
    ),
]

TABLES: dict[str, Table] = {table.name: table for table in _TABLES}
SOURCES: tuple[str, ...] = tuple(name.split("/")[1] for name in TABLES if name.startswith("sources/"))


def table(name: str) -> Table:
    """The contract of `module/asset`.

    Raises
    ------
    KeyError : no such table, naming the closest ones
    """
    if name not in TABLES:
        import difflib

        close = difflib.get_close_matches(name, TABLES, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise KeyError(f'there is no table "{name}".{hint} Tables: {", ".join(TABLES)}')
    return TABLES[name]
