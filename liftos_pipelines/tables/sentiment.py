"""Tables of Lift Sentiment."""

from __future__ import annotations

import polars as pl

from liftos_pipelines.tables.contract import (
    BASIC_EMOTIONS,
    BOOL,
    DATE,
    FLOAT,
    INT,
    TEXT,
    TEXTS,
    TIME,
    lake_table,
)

TABLES = [
    lake_table(
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
    lake_table(
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
    lake_table(
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
    lake_table(
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
    lake_table(
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
    lake_table(
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
]
