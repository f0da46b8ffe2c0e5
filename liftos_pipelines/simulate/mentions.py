"""Daily mentions in eight languages with a known class each, an incident on one campaign, and labelled rows.

Each stream (a campaign, or talk without one) has a true net sentiment a day: its usual level, plus a day's noise
that is autoregressive (rho .5, sd .10), minus the incident's drop on the incident's campaign. A mention's class
is drawn with p_positive - p_negative = net and p_neutral = .30. Texts are sentences of our own with slots filled
in; every tenth says something of another class first and then, after a "but", what counts.

The labelled rows use sentences that no mention uses, so accuracy on the mentions is on unseen sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from liftos_pipelines.simulate.phrases import LANGUAGES, Phrases
from liftos_pipelines.simulate.setting import (
    BRAND,
    BRAND_ALIASES,
    CAMPAIGNS,
    DAYS,
    INCIDENT,
    PRODUCTS,
    WITHOUT_CAMPAIGN_A_DAY,
    WITHOUT_CAMPAIGN_NET,
    at,
    stream,
)

CLASSES = ("negative", "neutral", "positive")
NEUTRAL = 0.30
RHO, DAY_SD = 0.5, 0.10
LANGUAGE_SHARES = {"en": 0.30, "de": 0.16, "fr": 0.12, "es": 0.12, "it": 0.09, "pt": 0.08, "hi": 0.07, "ar": 0.06}
SOURCES = {"x": 0.50, "reviews": 0.28, "forum": 0.22}
WEEKDAY_VOLUME = (1.0, 0.97, 0.95, 0.98, 1.08, 1.06, 0.96)
LABELLED_CORES = 3
LABELLED_A_CLASS = 35
CONTRAST = 0.10
INCIDENT_VOLUME = 1.6
EMOJI = {"negative": ("😡", "👎", "😞"), "neutral": ("🤔", "📦", "🏕️"), "positive": ("😍", "👍", "🎉")}
RATINGS = {"negative": (1, 2), "neutral": (3,), "positive": (4, 5)}


@dataclass(frozen=True, kw_only=True)
class Mentions:
    """`rows` is what the client brings, `classes` the true class per mention, `net` the true level per day."""

    rows: pl.DataFrame
    classes: pl.DataFrame
    net: pl.DataFrame


def generate(seed: int) -> Mentions:
    rng = stream(seed, "mentions")
    streams: list[tuple[str | None, date, date, float, float]] = [
        (None, DAYS[0], DAYS[-1], WITHOUT_CAMPAIGN_A_DAY, WITHOUT_CAMPAIGN_NET)
    ]
    streams += [(c.campaign_id, c.start, min(c.end, DAYS[-1]), c.mentions_a_day, c.net) for c in CAMPAIGNS]
    rows: list[dict[str, Any]] = []
    net_rows: list[dict[str, Any]] = []
    for campaign_id, start, end, volume, usual in streams:
        noise = rng.normal(0, DAY_SD)
        for day in (day for day in DAYS if start <= day <= end):
            noise = RHO * noise + rng.normal(0, DAY_SD * np.sqrt(1 - RHO**2))
            hit = campaign_id == INCIDENT.campaign_id and INCIDENT.start <= day <= INCIDENT.end
            net = float(np.clip(usual + noise - (INCIDENT.net_drop if hit else 0.0), NEUTRAL - 1, 1 - NEUTRAL))
            count = int(rng.poisson(volume * WEEKDAY_VOLUME[day.weekday()] * (INCIDENT_VOLUME if hit else 1.0)))
            net_rows.append({"date": day, "campaign_id": campaign_id or "none", "net_sentiment": net, "n": count})
            odds = ((1 - NEUTRAL - net) / 2, NEUTRAL, (1 - NEUTRAL + net) / 2)
            for label in rng.choice(3, size=count, p=odds):
                rows.append(_mention(rng, day, CLASSES[label], campaign_id, incident=hit))
    frame = pl.DataFrame(rows, infer_schema_length=None).sort("published_at", maintain_order=True)
    frame = frame.with_columns(mention_id=pl.format("m-{}", pl.int_range(pl.len()).cast(pl.String).str.zfill(6)))
    columns = [
        "mention_id",
        "published_at",
        "source",
        "text",
        "author",
        "language",
        "campaign_id",
        "engagement",
        "rating",
    ]
    return Mentions(
        rows=frame.select(columns),
        classes=frame.select("mention_id", label="class", spoken_language="spoken", contrast="contrast"),
        net=pl.DataFrame(net_rows),
    )


def labelled(seed: int) -> pl.DataFrame:
    """Labelled rows from sentences that no mention uses: text, label, language."""
    rng = stream(seed, "labelled mentions")
    rows = []
    for language, phrases in LANGUAGES.items():
        for label in CLASSES:
            cores = getattr(phrases, label)[:LABELLED_CORES]
            texts: dict[str, None] = {}
            while len(texts) < LABELLED_A_CLASS:
                texts[_fill(rng, phrases, str(rng.choice(cores)), label)] = None
            rows += [{"text": text, "label": label, "language": language} for text in texts]
    return pl.DataFrame(rows).unique("text", keep="first", maintain_order=True)


def _mention(
    rng: np.random.Generator, day: date, label: str, campaign_id: str | None, *, incident: bool
) -> dict[str, Any]:
    language = str(rng.choice(list(LANGUAGE_SHARES), p=list(LANGUAGE_SHARES.values())))
    phrases = LANGUAGES[language]
    source = str(rng.choice(list(SOURCES), p=list(SOURCES.values())))
    about_delivery = incident and label == "negative" and rng.random() < 0.8
    cores = phrases.delivery if about_delivery else getattr(phrases, label)[LABELLED_CORES:]
    core = str(rng.choice(cores))
    contrast = bool(rng.random() < CONTRAST)
    if contrast:
        other = str(rng.choice([name for name in CLASSES if name != label]))
        first = str(rng.choice(getattr(phrases, other)[LABELLED_CORES:]))
        core = f"{first.rstrip('?؟ ')}, {phrases.but} {core}"
    return {
        "published_at": at(day, rng.uniform(0, 86_399)),
        "source": source,
        "text": _fill(rng, phrases, core, label),
        "author": f"user{int(rng.pareto(1.2) * 40) % 9000:04d}",
        # A fifth of posts say nothing of their language, as feeds do.
        "language": None if rng.random() < 0.2 else language,
        "campaign_id": campaign_id,
        "engagement": float(int(rng.lognormal(1.5, 1.2))),
        "rating": float(rng.choice(RATINGS[label])) if source == "reviews" else None,
        "class": label,
        "spoken": language,
        "contrast": contrast,
    }


def _fill(rng: np.random.Generator, phrases: Phrases, core: str, label: str) -> str:
    brand = BRAND if rng.random() < 0.85 else str(rng.choice(BRAND_ALIASES))
    body = core.format(brand=brand, product=rng.choice(PRODUCTS), feature=rng.choice(phrases.features))
    text = f"{rng.choice(phrases.openers)} {body}".strip()
    text = text[0].upper() + text[1:]
    if not text.endswith(("?", "؟")):
        text += str(rng.choice((".", ".", "!", "")))
    text = f"{text} {rng.choice(phrases.tails)}".strip()
    if rng.random() < 0.2:
        text += f" {rng.choice(EMOJI[label])}"
    if rng.random() < 0.1:
        text += " #" + BRAND.lower()
    return text


def truth(world: Mentions) -> dict[str, Any]:
    """The incident, the true class of each mention and the true net sentiment of each stream and day."""
    days = {
        stream_id: {"start": rows["date"][0].isoformat(), "net": [round(value, 4) for value in rows["net_sentiment"]]}
        for (stream_id,), rows in world.net.group_by(["campaign_id"], maintain_order=True)
    }
    hit = world.net.filter(pl.col("campaign_id") == INCIDENT.campaign_id)
    inside = pl.col("date").is_between(INCIDENT.start, INCIDENT.end)
    return {
        "mentions": world.rows.height,
        "languages": LANGUAGE_SHARES,
        "day_noise": {"rho": RHO, "sd": DAY_SD},
        "incident": {
            "campaign_id": INCIDENT.campaign_id,
            "start": INCIDENT.start.isoformat(),
            "end": INCIDENT.end.isoformat(),
            "net_drop": INCIDENT.net_drop,
            "net_before": hit.filter(pl.col("date") < INCIDENT.start)["net_sentiment"].mean(),
            "net_during": hit.filter(inside)["net_sentiment"].mean(),
            "description": INCIDENT.description,
        },
        "class_digits": "".join(str(CLASSES.index(label)) for label in world.classes["label"]),
        "class_digits_are": "one digit a mention in order of mention_id: 0 negative, 1 neutral, 2 positive",
        "net_by_day": days,
        "class_shares": dict(world.classes["label"].value_counts(normalize=True).sort("label").iter_rows()),
        "net_sentiment": float(np.average(world.net["net_sentiment"], weights=world.net["n"])),
    }
