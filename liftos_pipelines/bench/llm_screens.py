"""What the screens find and miss, and what the bias tests say: attacks of kinds never seen, planted data, real texts.

Everything that was fitted is fitted anew without the class it is scored on. The grammar's word lists were written
with the exemplar bank in sight and the validation split out of sight; after its first scorings (32, then 34 of 35
attacks, no false alarm) its one miss was read and words were added. So validation is a repeat look, and the classes
left out are the fairer figure; both overstate what a wholly new author's attacks would give.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from liftos_pipelines.bench.figure import Figure, NoData, milliseconds, p95_interval, unmeasured
from liftos_pipelines.bench.llm_injection_fit import (
    CORPUS,
    SEED,
    Array,
    Example,
    corpus_examples,
    corpus_rows,
    fit,
    generated_examples,
    leave_class_out,
    ordinary_examples,
    ordinary_texts,
    probabilities,
)
from liftos_pipelines.modules.llm.bbq import bbq_accuracy, bbq_scores
from liftos_pipelines.modules.llm.bias import bias_report
from liftos_pipelines.modules.llm.screens import generalising, injection, pii, toxicity
from liftos_pipelines.modules.llm.screens.injection import by_keywords
from liftos_pipelines.modules.llm.screens.injection_weights import THRESHOLD
from liftos_pipelines.modules.llm.screens.pii import find_pii
from liftos_pipelines.modules.llm.swaps import swap_sex
from liftos_pipelines.simulate.injections import injection_texts
from liftos_pipelines.simulate.personal_data import personal_messages
from liftos_pipelines.stats import wilson_interval
from liftos_pipelines.tables import table

BBQ = {"Age": (0.547, 0.935), "Religion": (0.650, 0.880)}
"""Published accuracies of the recorded answers: ambiguous, disambiguated."""
FIELD = "unifiedqa-t5-11b_pred_race"
WORLDS = 200
PAIRS = 40
MESSAGES = 6000
OTHER_SEED = 29
NAIVE_PII = re.compile(r"\S+@\S+|\d[\d -]{6,}\d")
"""The baseline for personal data: anything with an at sign, and any long run of digits."""


def measure(data: Path) -> Iterator[Figure]:
    """Every figure of screens and bias tests, with its baseline in the same run."""
    yield from _injection(data)
    yield from _personal_data()
    yield from _abuse(data)
    yield from _bias(data)
    yield from _speed(data)


def _share(
    name: str,
    hits: int,
    n: int,
    method: str,
    *,
    goal: str | None = None,
    baseline: str | None = None,
    value: float | None = None,
    families: int | None = None,
) -> Figure:
    """A share with Wilson's interval; of `families`, where rows of one family are not independent texts."""
    units = families or n
    low, high = wilson_interval(hits / n * units, units)
    return Figure(
        benchmark="llm", name=name, value=hits / n, unit="", method=method, n=n, low=low, high=high, goal=goal,
        baseline=baseline, baseline_value=value,
    )  # fmt: skip


def _injection(data: Path) -> Iterator[Figure]:
    if not (data / CORPUS).is_file():
        raise NoData(f"{data / CORPUS} is absent; set LIFTOS_SHARED_DATA to the public data sets")
    corpus, generated, ordinary = corpus_examples(data), generated_examples(), ordinary_examples(data, half=0)
    examples = corpus + generated + ordinary
    out = leave_class_out(examples, lambda example: example.origin != "ordinary")
    keywords = [by_keywords(row["text"]) for row in corpus_rows(data)]
    how = "weights fitted without the class (and the generated kinds like it), MIT corpus, both splits"
    yield from _recall_and_alarms("injection, class left out", corpus, out[: len(corpus)], how, keywords)
    for kind in sorted({example.kind for example in corpus if example.attack}):
        rows = [i for i, example in enumerate(corpus) if example.attack and example.kind == kind]
        found = int(sum(out[i] >= THRESHOLD for i in rows))
        families = len({corpus[i].family for i in rows})
        yield _share(
            f"injection recall, {kind} left out", found, len(rows), f"{how}; {families} families", families=families
        )
    plain = [by_keywords(text.text) for text in injection_texts(per_family=8, seed=SEED)]
    held = out[len(corpus) : len(corpus) + len(generated)]
    yield from _recall_and_alarms(
        "injection, generated kind left out", generated, held, "own grammar of families, 19 disguises", plain
    )
    bank = corpus_examples(data, ("exemplar_bank",))
    validation = corpus_examples(data, ("validation",))
    w = fit([*bank, *generated, *ordinary])
    yield from _recall_and_alarms(
        "injection, validation split",
        validation,
        probabilities(validation, w),
        "weights fitted without it; the word lists were extended after a first look at it",
        [by_keywords(row["text"]) for row in corpus_rows(data, ("validation",))],
    )
    test = corpus_rows(data, ("test",))
    if test:
        unseen = corpus_examples(data, ("test",))
        shipped = np.array([injection(row["text"]).probability or 0.0 for row in test])
        yield from _recall_and_alarms(
            "injection, test split", unseen, shipped, "the screen as shipped", [by_keywords(r["text"]) for r in test]
        )
    else:
        yield unmeasured("llm", "injection, test split", "", "the publisher's test rows are not on this machine")
    for name, texts in ordinary_texts(data).items():
        others = texts[1::2]  # the other half was fitted on
        flagged = sum(bool(injection(text).flagged) for text in others)
        words = sum(by_keywords(text) for text in others)
        yield _share(
            f"injection false alarms, {name}", flagged, len(others), "the screen as shipped, texts not fitted on",
            goal="<= 0.05", baseline="keyword list", value=words / len(others),
        )  # fmt: skip


def _recall_and_alarms(
    name: str, examples: Sequence[Example], scores: Array, method: str, keywords: Sequence[bool]
) -> Iterator[Figure]:
    for attack, what, goal in ((True, "recall", ">= 0.80"), (False, "false alarms", "<= 0.05")):
        rows = [i for i, example in enumerate(examples) if example.attack == attack]
        hits = int(sum(scores[i] >= THRESHOLD for i in rows))
        listed = float(np.mean([keywords[i] for i in rows]))
        families = len({examples[i].family for i in rows})
        yield _share(
            f"{name}: {what}", hits, len(rows),
            f"{method}; interval by {families} families; flagging always has 1 in both, never 0",
            goal=goal, baseline="keyword list", value=listed, families=families,
        )  # fmt: skip


def _personal_data() -> Iterator[Figure]:
    counts = {"found": 0, "missed": 0, "false": 0, "naive found": 0, "naive false": 0}
    for message in personal_messages(n=MESSAGES, seed=OTHER_SEED):
        left = list(find_pii(message.text))
        naive = NAIVE_PII.findall(message.text)
        for kind, value in message.planted:
            hit = next((one for one in left if one.kind == kind and (value in one.text or one.text in value)), None)
            counts["found" if hit else "missed"] += 1
            if hit:
                left.remove(hit)
            caught = [one for one in naive if one in value or value in one]
            counts["naive found"] += bool(caught)
            naive = [one for one in naive if one not in caught]
        counts["false"] += len(left)
        counts["naive false"] += len(naive)
    planted, method = counts["found"] + counts["missed"], "planted in generated messages of six countries' forms"
    naive_all = counts["naive found"] + counts["naive false"]
    yield _share(
        "personal data: recall", counts["found"], planted, method,
        baseline="any at sign or long number", value=counts["naive found"] / planted,
    )  # fmt: skip
    yield _share(
        "personal data: precision", counts["found"], counts["found"] + counts["false"], method,
        baseline="any at sign or long number", value=counts["naive found"] / naive_all,
    )  # fmt: skip


def _abuse(data: Path) -> Iterator[Figure]:
    file = data / "sentiment/goemotions/dev.tsv"
    if not file.is_file():
        yield unmeasured("llm", "toxicity", "", f"{file} is absent")
        return
    labels = (file.parent / "labels.txt").read_text(encoding="utf-8").split("\n")
    hostile: list[bool] = []
    calm: list[bool] = []
    unread, n = 0, 0
    for line in file.read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            continue
        text, ids, _ = line.split("\t")
        names = {labels[int(i)] for i in ids.split(",")}
        flagged = toxicity(text).flagged
        n += 1
        unread += flagged is None
        if flagged is not None:
            (hostile if names & {"anger", "annoyance", "disgust"} else calm).append(flagged)
    proxy = "GoEmotions dev; anger, annoyance and disgust are a weak stand-in for abuse, real recall is unknown"
    yield _share(
        "toxicity: flagged of hostile comments", sum(hostile), len(hostile), proxy,
        baseline="comments without those labels", value=float(np.mean(calm)),
    )  # fmt: skip
    yield _share("toxicity: not readable as English", unread, n, "GoEmotions dev, English comments, many very short")


def _bias(data: Path) -> Iterator[Figure]:
    for category, published in BBQ.items():
        file = data / f"llm/bbq/preds_{category}.jsonl"
        if not file.is_file():
            yield unmeasured("llm", f"BBQ {category}", "", f"{file} is absent")
            continue
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
        accuracy = bbq_accuracy(rows, FIELD)
        for score, goal in zip(bbq_scores(rows, FIELD), published, strict=True):
            method = f"recorded UnifiedQA-11B answers (race), interval over {score.templates} templates"
            yield Figure(
                benchmark="llm", name=f"BBQ {category}, {score.condition}: accuracy", value=accuracy[score.condition],
                unit="", method=method, n=score.answers, low=score.accuracy_low, high=score.accuracy_high,
                goal=f"= {goal:.3f}", baseline="one of three at random", baseline_value=1 / 3,
            )  # fmt: skip
            yield Figure(
                benchmark="llm", name=f"BBQ {category}, {score.condition}: bias score", value=score.bias, unit="",
                method=method, n=score.answers, low=score.bias_low, high=score.bias_high,
                baseline="no bias", baseline_value=0.0,
            )  # fmt: skip
    yield from _crows(data)


def _crows(data: Path) -> Iterator[Figure]:
    file = data / "llm/crows_pairs/crows_pairs_anonymized.csv"
    if not file.is_file():
        yield unmeasured("llm", "CrowS-Pairs", "", f"{file} is absent")
        return
    with file.open(encoding="utf-8", newline="") as lines:
        pairs = list(csv.DictReader(lines))
    more = [bool(generalising(pair["sent_more"]).flagged) for pair in pairs]
    less = [bool(generalising(pair["sent_less"]).flagged) for pair in pairs]
    yield _share(
        "generalising: flagged of stereotyping sentences", sum(more), len(more), "CrowS-Pairs, all bias types",
        baseline="the less stereotyping twins", value=float(np.mean(less)),
    )  # fmt: skip
    gender = [pair for pair in pairs if pair["bias_type"] == "gender"]
    usable = [pair["sent_more"] for pair in gender if swap_sex(pair["sent_more"]) != pair["sent_more"]]
    alike = sum(swap_sex(pair["sent_more"]).lower() == pair["sent_less"].lower() for pair in gender)
    yield _share("swap equals the written twin", alike, len(gender), "CrowS-Pairs, gender; many twins swap names only")
    alarms = _verdicts(usable, planted=0.0)
    yield _share(
        "bias report: false alarms on symmetric swaps", alarms, WORLDS,
        f"{PAIRS} CrowS-Pairs sentences and their swaps a world, outputs drawn alike; any verdict 'difference'",
        goal="<= 0.05", baseline="the same tests unadjusted", value=_unadjusted(usable),
    )  # fmt: skip
    power = _verdicts(usable, planted=0.4)
    yield _share(
        "bias report: planted refusals found", power, WORLDS, f"40 points more refusals for one sex, {PAIRS} pairs"
    )


def _world(sentences: Sequence[str], planted: float, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(sentences), size=min(PAIRS, len(sentences)), replace=False)
    contract = table("sources/llm_calls")
    rows = []
    for i, place in enumerate(chosen):
        for side, text in enumerate((sentences[int(place)], swap_sex(sentences[int(place)]))):
            male = re.search(r"\b(?:he|his|him|man|men|boy|husband|father|mr)\b", text.lower()) is not None
            refused = rng.random() < 0.1 + planted * male
            output = "I cannot help with that." if refused else " ".join(["fine"] * int(rng.integers(5, 40)))
            rows.append(
                {"call_id": f"{i}-{side}", "input": f"{i}: {text}", "output": output, "model": "m", "prompt_name": "p"}
            )
    full = [{name: row.get(name) for name in contract.columns} for row in rows]
    return pl.DataFrame(full, schema=contract.columns, orient="row")


def _verdicts(sentences: Sequence[str], *, planted: float) -> int:
    found = 0
    for seed in range(WORLDS):
        found += "difference" in set(bias_report(_world(sentences, planted, seed), seed=seed)["verdict"])
    return found


def _unadjusted(sentences: Sequence[str]) -> float:
    """Share of worlds in which a paired t-test of either difference, unadjusted, would have spoken."""
    from scipy.stats import ttest_1samp

    wrong = 0
    for seed in range(WORLDS):
        world = _world(sentences, 0.0, seed)
        length = world["output"].str.split(" ").list.len().to_numpy().reshape(-1, 2)
        refused = world["output"].str.starts_with("I cannot").to_numpy().astype(float).reshape(-1, 2)
        values = [ttest_1samp(np.diff(x.astype(float), axis=1).ravel(), 0.0).pvalue for x in (length, refused)]
        wrong += min(value for value in values if not np.isnan(value)) < 0.05
    return wrong / WORLDS


def _screened(screen: Callable[[str], object], texts: Sequence[str], number: int) -> object:
    return screen(texts[number])


def _speed(data: Path) -> Iterator[Figure]:
    answers = ordinary_texts(data)["HaluEval answers"]
    joined = [" ".join(" ".join(answers[i : i + 6]).split()[:200]) for i in range(0, len(answers) - 6, 3)]
    texts = [text for text in joined if len(text.split()) == 200][:200]
    screens: dict[str, Callable[[str], object]] = {
        "injection": injection, "personal data": pii, "toxicity": toxicity, "bias": generalising
    }  # fmt: skip
    for name, screen in screens.items():
        screen(texts[0])
        value, low, high = p95_interval(milliseconds(partial(_screened, screen, texts), len(texts)))
        yield Figure(
            benchmark="llm", name=f"{name} screen, 200 words: p95", value=value, unit="ms",
            method="real answers, one process", n=len(texts), low=low, high=high, goal="< 5 ms",
        )  # fmt: skip
