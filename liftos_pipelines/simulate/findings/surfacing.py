"""Surfacing: who is named and at which rank, visibility by month, the algorithm change, the pages' defects."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from liftos_pipelines.simulate.findings.finding import (
    Finding,
    Read,
    Truth,
    coverage,
    finding,
    not_found,
    share,
)
from liftos_pipelines.simulate.setting import BRAND

MENTIONS, VISIBILITY = "surfacing/answer_mentions", "surfacing/visibility"
SHIFTS, PAGES = "surfacing/shifts", "surfacing/page_audit"
SOON_DAYS = 30
MOSTLY_RIGHT = 0.97


def compare(read: Read, truth: Truth) -> list[Finding]:
    surfacing, visibility = truth["surfacing"], read(VISIBILITY)
    return [
        *_mentions(read(MENTIONS), surfacing),
        _visibility(visibility, surfacing),
        *_shifts(read(SHIFTS), surfacing["algorithm_change"], watched=not visibility.is_empty()),
        _pages(read(PAGES), surfacing["page_audit"]["defects"]),
    ]


def _mentions(mentions: pl.DataFrame, surfacing: Truth) -> list[Finding]:
    what, beside = "answers that name the brand, and its rank", "told by the generator for each answer"
    own = mentions.filter(pl.col("brand") == BRAND).sort("answer_id")
    digits = surfacing["brand_rank_digits"]
    if own.height != len(digits):
        return [not_found(MENTIONS, what, beside)]
    judged = own.with_columns(pl.Series("true_rank", [int(digit) for digit in digits]))
    right = judged.filter(pl.col("mentioned").fill_null(False) == (pl.col("true_rank") > 0)).height
    absent = judged.filter(pl.col("answer_id").is_in(surfacing["absence_statements"]))
    not_fooled = absent.filter(~pl.col("mentioned").fill_null(False)).height
    ranked = judged.filter(pl.col("true_rank") > 0, pl.col("rank").is_not_null())
    right_rank = ranked.filter(pl.col("rank") == pl.col("true_rank")).height
    return [
        finding(
            MENTIONS,
            "answers judged rightly: brand named or not",
            share(right, judged.height),
            beside,
            right / judged.height >= MOSTLY_RIGHT,
        ),
        finding(
            MENTIONS,
            "“could not find” read as absent",
            share(not_fooled, absent.height),
            "all of them",
            None if absent.is_empty() else not_fooled / absent.height >= MOSTLY_RIGHT,
        ),
        finding(
            MENTIONS,
            "rank of the brand where ranked",
            share(right_rank, ranked.height),
            beside,
            None if ranked.is_empty() else right_rank / ranked.height >= MOSTLY_RIGHT,
        ),
    ]


def _visibility(visibility: pl.DataFrame, surfacing: Truth) -> Finding:
    """Only whole months before or after the change have one true rate."""
    change = date.fromisoformat(surfacing["algorithm_change"]["date"])
    held = []
    rows = visibility.filter(
        pl.col("metric") == "mention_rate",
        pl.col("group") == "all",
        pl.col("engine").is_in(list(surfacing["rates"])),
        pl.col("low").is_not_null(),
    )
    for row in rows.filter(pl.col("period").str.contains(r"^\d{4}-\d{2}$")).iter_rows(named=True):
        month = f"{change:%Y-%m}"
        changed_engine = row["engine"] == surfacing["algorithm_change"]["engine"]
        if changed_engine and row["period"] == month:
            continue
        period = "after" if changed_engine and row["period"] > month else "before"
        true = surfacing["rates"][row["engine"]][period].get(row["brand"])
        if true is not None:
            held.append(row["low"] <= true["mention_rate"] <= row["high"])
    return coverage(VISIBILITY, "mention rate by month, engine, brand", held)


def _shifts(shifts: pl.DataFrame, change: dict[str, str], *, watched: bool) -> list[Finding]:
    """No shift is a miss where visibility was measured, and unknown where it was not."""
    day = date.fromisoformat(change["date"])
    beside = f"{change['engine']} on {day}"
    if not watched:
        return [not_found(SHIFTS, "algorithm change", beside)]
    soon = pl.col("detected_at").dt.date().is_between(day, day + timedelta(days=SOON_DAYS))
    about = soon & (pl.col("engine") == change["engine"])
    hits = shifts.filter(about & (pl.col("kind") == "engine")).sort("detected_at")
    others = shifts.filter(~about)
    if hits.height:
        first = hits.row(0, named=True)
        delay = (first["detected_at"].date() - day).days
        what_found = f"{first['engine']} on {first['detected_at']:%Y-%m-%d}, {delay} days after"
    else:
        kinds = ", ".join(sorted(shifts.filter(about)["kind"].unique()))
        what_found = f"not as a change of the engine (found there: {kinds or 'nothing'})"
    return [
        finding(SHIFTS, "algorithm change", what_found, beside, hits.height > 0),
        finding(
            SHIFTS, "shifts on anything else", str(others.height), "0: nothing else was planted", others.is_empty()
        ),
    ]


def _pages(audit: pl.DataFrame, defects: dict[str, list[str]]) -> Finding:
    """A page's defect is found when the page scores below every page without a defect in some dimension."""
    what, beside = (
        "pages with planted defects",
        f"{len(defects)} pages: " + ", ".join(sorted({d for ds in defects.values() for d in ds})),
    )
    measured = audit.filter(pl.col("score").is_not_null())
    if measured.is_empty():
        return not_found(PAGES, what, beside)
    healthy = (
        measured.filter(~pl.col("url").is_in(list(defects))).group_by("dimension").agg(least=pl.col("score").min())
    )
    low = measured.join(healthy, on="dimension", how="inner").filter(pl.col("score") < pl.col("least"))
    hit = sum(url in set(low["url"]) for url in defects)
    return finding(
        PAGES, what, f"{hit} of {len(defects)} score below every healthy page somewhere", beside, hit == len(defects)
    )
