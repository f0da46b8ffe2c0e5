"""Surfacing's pages and advice: audits on real pages, their text and facts, topics, and advice that is watched."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from liftos_pipelines.bench.figure import Figure, NoData
from liftos_pipelines.modules.surfacing.advice.outcomes import measured_effects
from liftos_pipelines.modules.surfacing.advice.watching import measure_change
from liftos_pipelines.modules.surfacing.pages.audit import DIMENSIONS, audit_pages
from liftos_pipelines.modules.surfacing.pages.page import parse_page, trafilatura_text
from liftos_pipelines.simulate.advice_panels import AT, acted_panel, past_actions
from liftos_pipelines.text import Name, words

BENCHMARK = "surfacing-pages"
WEIGHTS = dict.fromkeys(DIMENSIONS, 1 / len(DIMENSIONS))
WORLDS = 120
CUTS_A_PAGE = 10
Z90 = 1.645


def measure(data: Path) -> Iterator[Figure]:
    """Every figure of the page audit, the topics and the advice, each beside a baseline in the same run."""
    folder = data / "surfacing" / "pages"
    if not folder.is_dir():
        raise NoData(f"{folder} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    real = [
        (truth[key]["url"], _html(folder / "html" / f"{key}.html.gz"), truth[key]["articleBody"])
        for key in sorted(truth)
    ]
    yield from _speed(real)
    yield _robustness(real)
    yield from _text(real)
    yield _facts(real)
    yield _topics(data)
    yield _effects()
    yield from _watching()


def _html(file: Path) -> str:
    return gzip.decompress(file.read_bytes()).decode("utf-8", "replace")


def _audit(rows: list[tuple[str, str]], extract: Callable[[str], str | None] | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"url": pl.String(), "html": pl.String()}, orient="row")
    return audit_pages(frame, brand=Name(name="Acme"), weights=WEIGHTS, now=date(2019, 12, 1), main_text=extract)


def _rate(action: Callable[[], object], pages: int, times: int) -> float:
    action()
    began = time.process_time()
    for _ in range(times):
        action()
    return pages * times / (time.process_time() - began)


def _speed(real: list[tuple[str, str, str]]) -> Iterator[Figure]:
    rows = [(url, html) for url, html, _ in real]
    other = _rate(lambda: _audit(rows, trafilatura_text), len(rows), 1)
    yield Figure(
        benchmark=BENCHMARK, name="pages audited a second of CPU", value=_rate(lambda: _audit(rows), len(rows), 3),
        unit="pages", n=len(rows), goal=">= 100", method="all dimensions of 30 real pages (236 kB on average)",
        baseline="the same with trafilatura's text", baseline_value=other,
    )  # fmt: skip


def _robustness(real: list[tuple[str, str, str]]) -> Figure:
    """Real pages, and each cut and spliced at random places: what half a download looks like."""
    rng = np.random.default_rng(7)
    rows = [(url, html) for url, html, _ in real]
    for url, html, _ in real:
        short = html[:60_000]
        for _ in range(CUTS_A_PAGE):
            start, end = sorted(rng.integers(0, len(short), 2))
            rows.append((url, short[end:] + "\x00" * int(rng.integers(0, 2)) + short[:start]))
    failed = 0
    for row in rows:
        try:
            _audit([row])
        except Exception:
            failed += 1
    return Figure(
        benchmark=BENCHMARK, name="exceptions", value=float(failed), unit="", n=len(rows), goal="0",
        method="30 real pages and 10 random cuts and splices of each",
    )  # fmt: skip


def _scores(read: Callable[[str, str], str], real: list[tuple[str, str, str]]) -> np.ndarray:
    """(pages, 2) precision and recall of runs of four words against the article's text by hand."""
    rows = []
    for url, html, body in real:
        said, gold = words(read(url, html)), words(body)
        found, wanted = (Counter(zip(w, w[1:], w[2:], w[3:], strict=False)) for w in (said, gold))
        same = (found & wanted).total()
        rows.append((same / max(found.total(), 1), same / max(wanted.total(), 1)))
    return np.array(rows)


def _f1(scores: np.ndarray) -> float:
    precision, recall = scores.mean(axis=0)
    return float(2 * precision * recall / (precision + recall))


def _text(real: list[tuple[str, str, str]]) -> Iterator[Figure]:
    own = _scores(lambda url, html: parse_page(url, html).text, real)
    everything = _scores(lambda url, html: parse_page(url, html).visible, real)
    other = _scores(lambda _, html: trafilatura_text(html) or "", real)
    rng = np.random.default_rng(7)
    draws = [_f1(own[rng.integers(0, len(own), len(own))]) for _ in range(1000)]
    low, high = np.quantile(draws, [0.05, 0.95])
    method = "runs of four words against text by hand; bootstrap over pages"
    yield Figure(
        benchmark=BENCHMARK, name="article text, F1", value=_f1(own), low=float(low), high=float(high), unit="",
        n=len(real), method=method, baseline="trafilatura", baseline_value=_f1(other),
    )  # fmt: skip
    for place, name in enumerate(("precision", "recall")):
        yield Figure(
            benchmark=BENCHMARK, name=f"article text, {name}", value=float(own[:, place].mean()), unit="", n=len(real),
            method=f"the same; all visible text has {everything[:, place].mean():.2f}", baseline="trafilatura",
            baseline_value=float(other[:, place].mean()),
        )  # fmt: skip


def _facts(real: list[tuple[str, str, str]]) -> Figure:
    """Headings, canonical links, titles, languages and JSON-LD blocks as lxml and regular expressions read them."""
    from lxml import html as lxml_html

    agree = total = naive = 0
    for url, html, _ in real:
        page = parse_page(url, html)
        tree = lxml_html.fromstring(html.encode("utf-8", "replace"), parser=lxml_html.HTMLParser(encoding="utf-8"))
        canonical = {href.strip() for href in tree.xpath('//link[@rel="canonical"]/@href') if href.strip()}
        blocks = len(re.findall(r"<script[^>]+application/ld\+json[^>]*>", html, re.IGNORECASE))
        title = " ".join((tree.xpath("string(//title)") or "").split())
        stated = [
            (len(page.h1), len(tree.xpath("//h1"))),
            (set(page.canonicals), canonical),
            (page.title, title),
            (page.language, (tree.get("lang") or "").split("-")[0].lower()),
            ("JSON-LD" in page.data.syntaxes, blocks > 0),
        ]
        agree += sum(own == other for own, other in stated)
        naive += sum(guess == other for guess, (_, other) in zip((1, {url}, "", "en", True), stated, strict=True))
        total += len(stated)
    return Figure(
        benchmark=BENCHMARK, name="facts agreeing with a second reader", value=agree / total, unit="", n=total,
        method="h1, canonical, title, language, JSON-LD of 30 pages", baseline="the usual page",
        baseline_value=naive / total,
    )  # fmt: skip


def _topics(data: Path) -> Figure:
    from liftos_pipelines.modules.sentiment.reading.topics import topics_of
    from liftos_pipelines.templates.loader import load_template

    topics = load_template("retail").topics
    texts = [
        line
        for file in sorted((data / "sentiment" / "umsab").glob("*/train_text.txt"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    began = time.process_time()
    topics_of(texts, topics)
    first = len(texts) / (time.process_time() - began)
    one = re.compile(r"\b(?:" + "|".join(re.escape(w.strip("*!")) for ws in topics.values() for w in ws) + r")", re.I)
    began = time.process_time()
    for text in texts[:2000]:
        one.findall(text)
    return Figure(
        benchmark=BENCHMARK, name="texts read for topics a second of CPU", value=first, unit="texts", n=len(texts),
        goal=">= 20,000", method="tweets in eight languages never seen before, nine topics of retail",
        baseline="one regular expression of all keywords", baseline_value=2000 / (time.process_time() - began),
    )  # fmt: skip


def _effects() -> Figure:
    rng = np.random.default_rng(7)
    held: list[bool] = []
    naive: list[bool] = []
    for world in range(4 * WORLDS):
        sizes = [(1, 1, 2, 3), (1, 2, 8), (5, 5), (12,)][world % 4]
        studies, coming = past_actions(rng, sizes, between_kinds=0.03, between_actions=0.05, error=0.03)
        effects = measured_effects(studies)
        for kind, true in coming.items():
            own = [study for study in studies if study.kind == kind]
            weights = np.array([1 / study.std_error**2 for study in own])
            mean = np.average([study.effect for study in own], weights=weights)
            held.append(effects[kind].low <= true <= effects[kind].high)
            naive.append(bool(abs(true - mean) <= Z90 / np.sqrt(weights.sum())))
    return _share("coverage of the next action's effect", held, naive, "outcomes pooled as one", ".85 to .95",
                  "1 to 12 past actions a kind, effects that differ between actions (sd .05)")  # fmt: skip


def _watching() -> Iterator[Figure]:
    quiet = "60 prompts, 8 weeks each side, two engines; 10 prompts that never named the brand, nothing done"
    acted = "the same, with .15 added to the true rates of 10 prompts"
    claimed, plain = _watched(0.0, "zero", seed=7)
    yield _share("changes claimed where nothing was done", claimed["claimed"], plain["claimed"],
                 "before and after, answers as independent", "<= .10", quiet)  # fmt: skip
    held, other = _watched(0.15, "random", seed=8)
    yield _share("coverage of a change of .15", held["held"], other["held"],
                 "before and after, answers as independent", ".85 to .95", acted)  # fmt: skip
    yield _share("changes of .15 found", held["claimed"], [False] * len(held["claimed"]), "never", "", acted)
    yield Figure(
        benchmark=BENCHMARK, name="bias where nothing was done", value=float(np.mean(claimed["errors"])), unit="",
        n=len(claimed["errors"]), method=quiet, baseline="plain difference in differences",
        baseline_value=float(np.mean(plain["errors"])),
    )  # fmt: skip


def _watched(effect: float, chosen: str, seed: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    rng = np.random.default_rng(seed)
    ours: dict[str, list[float]] = {"held": [], "claimed": [], "errors": []}
    naive: dict[str, list[float]] = {"held": [], "claimed": [], "errors": []}
    for world in range(WORLDS):
        panel = acted_panel(rng, watched=10, effect=effect, chosen=chosen)
        if not panel.watched:
            continue
        change = measure_change(panel.rates, panel.watched, at=AT, seed=world)
        if change.effect is None or change.low is None or change.high is None:
            continue
        ours["held"].append(change.low <= panel.effect <= change.high)
        ours["claimed"].append(not change.low <= 0 <= change.high)
        ours["errors"].append(change.effect - panel.effect)
        values, later = panel.rates["value"].to_numpy(), (panel.rates["asked_at"] >= AT).to_numpy()
        mine = panel.rates["prompt_id"].is_in(panel.watched).to_numpy()
        own, others = ((values[side & later], values[side & ~later]) for side in (mine, ~mine))
        moved = float(own[0].mean() - own[1].mean())
        half = Z90 * float(np.sqrt(own[0].var() / len(own[0]) + own[1].var() / len(own[1])))
        naive["held"].append(abs(moved - panel.effect) <= half)
        naive["claimed"].append(abs(moved) > half)
        naive["errors"].append(moved - float(others[0].mean() - others[1].mean()) - panel.effect)
    return ours, naive


def _share(
    name: str, held: list[bool] | list[float], naive: list[bool] | list[float], baseline: str, goal: str, method: str
) -> Figure:
    """A rate with its 90 % score interval (Wilson 1927)."""
    n, share = len(held), float(np.mean(held))
    centre, spread = share + Z90**2 / (2 * n), Z90 * np.sqrt(share * (1 - share) / n + Z90**2 / (4 * n**2))
    scale = 1 + Z90**2 / n
    return Figure(
        benchmark=BENCHMARK, name=name, value=share, low=float((centre - spread) / scale),
        high=float((centre + spread) / scale), unit="", n=n, goal=goal or None, method=method, baseline=baseline,
        baseline_value=float(np.mean(naive)),
    )  # fmt: skip
