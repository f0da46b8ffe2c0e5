"""Groundedness: does it order supported before unsupported, on texts and kinds of error it was not fitted on.

The summaries are made (`simulate/grounded_texts.py`) from public texts; RAGChecker's preferences are people's. For
labelled sets of one's own: `evaluate_labelled`, or `liftos bench llm --data FILE`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftos_pipelines.bench.figure import Figure, milliseconds, p95_interval
from liftos_pipelines.bench.grounded_by_hand import by_hand
from liftos_pipelines.bench.grounded_sources import FITTED, MEASURED_ONLY, article_texts, preferences, unreferenced
from liftos_pipelines.bench.groundedness_fit import Measured, fit, made_summaries, measured
from liftos_pipelines.modules.llm.groundedness import ground
from liftos_pipelines.modules.llm.grounding.builtin import BuiltInJudge, measure_output
from liftos_pipelines.modules.llm.grounding.calibration import Calibration
from liftos_pipelines.modules.llm.grounding.judge import Judge
from liftos_pipelines.resources.grounding_model import packaged_calibration
from liftos_pipelines.simulate.grounded_texts import STYLES
from liftos_pipelines.stats import wilson_interval

BENCHMARK = "llm"
HELD_OUT_SEED = 77
"""Never used while the checks were written or the weights fitted."""
PLANTED = {"number": ("number_outside",), "name": ("name_outside",), "date": ("date",)}
CONTEXT_FIELDS = ("context", "article", "source", "document", "doc", "reference")
OUTPUT_FIELDS = ("output", "summary", "claim", "response", "answer")
LABEL_FIELDS = ("label", "is_factual", "supported", "factual", "consistent", "is_supported")
GROUP_FIELDS = ("group", "document_id", "source_id")
_SUPPORTED_WORDS = frozenset(
    ("1", "true", "yes", "supported", "factual", "consistent", "faithful", "entailed", "correct")
)
_UNSUPPORTED_WORDS = frozenset(
    ("0", "-1", "false", "no", "unsupported", "nonfactual", "inconsistent", "hallucinated", "incorrect", "contradicted")
)


class LabelledError(ValueError):
    """A labelled file that cannot be read, naming line and field."""


def measure(data: Path) -> Iterator[Figure]:
    """Every figure, each beside the length of the output as the dummy.

    Raises
    ------
    NoData : a public set is not there
    """
    made = measured(made_summaries(data, FITTED + MEASURED_ONLY, seed=HELD_OUT_SEED))
    calibration = packaged_calibration()
    yield from by_hand(BuiltInJudge(calibration), auroc)
    yield from _left_out(made)
    yield from _styles(made)
    yield from _families(made)
    yield from _planted(data)
    yield from _preferences(data, calibration)
    yield from _unreferenced(data, calibration)
    yield from _calibrated(made, calibration)
    yield from _latency(data, calibration)


def _left_out(made: Measured) -> Iterator[Figure]:
    """AUROC on each source with weights fitted on the other sources (only those that may be fitted on)."""
    sources = made.sources
    for name in FITTED + MEASURED_ONLY:
        mine = sources == name
        others = ~mine & np.isin(sources, FITTED)
        here = made.where(mine)
        yield _auroc_figure(
            f"AUROC, texts of {name}", _scores(here, fit(made.where(others))), here, "weights from the other sources"
        )


def _styles(made: Measured) -> Iterator[Figure]:
    """AUROC within each style of writing, on the sources that are never fitted on."""
    calibration = fit(made.where(np.isin(made.sources, FITTED)))
    for style in STYLES:
        here = made.where(np.isin(made.sources, MEASURED_ONLY) & (made.styles == style))
        yield _auroc_figure(f"AUROC, style {style}", _scores(here, calibration), here, "sources left out")


def _families(made: Measured) -> Iterator[Figure]:
    """AUROC of each kind of error against faithful summaries, with weights fitted without that kind."""
    families, fitted = made.families, np.isin(made.sources, FITTED)
    for family in sorted(set(families.tolist()) - {"faithful"}):
        kept = made.where(fitted & (families != family))
        here = made.where((families == family) | (families == "faithful"))
        yield _auroc_figure(
            f"AUROC, error {family}", _scores(here, fit(kept)), here, "weights without that kind of error"
        )


def _planted(data: Path) -> Iterator[Figure]:
    """Whether a changed number, name or date is named, and how often a faithful summary has anything named."""
    rows = made_summaries(data, FITTED + MEASURED_ONLY, seed=HELD_OUT_SEED + 1)
    flagged = {family: [] for family in {row.family for row in rows}}  # type: dict[str, list[bool]]
    for row in rows:
        flagged[row.family].append(bool(ground(row.output, row.context).spans))
    alarms = flagged["faithful"]
    low, high = wilson_interval(sum(alarms), len(alarms))
    for kind, families in PLANTED.items():
        hits = [hit for family in families for hit in flagged.get(family, [])]
        if not hits:
            continue
        bounds = wilson_interval(sum(hits), len(hits))
        yield Figure(
            benchmark=BENCHMARK,
            name=f"changed {kind} named",
            value=float(np.mean(hits)),
            unit="share",
            method="a value or name the text does not have; a span was named",
            n=len(hits),
            low=bounds[0],
            high=bounds[1],
            goal=">= 0.95",
            baseline="faithful summaries with anything named",
            baseline_value=float(np.mean(alarms)),
        )
    yield Figure(
        benchmark=BENCHMARK,
        name="faithful summaries with anything named",
        value=float(np.mean(alarms)),
        unit="share",
        method="five styles of faithful summaries",
        n=len(alarms),
        low=low,
        high=high,
        goal="<= 0.05",
    )


def _preferences(data: Path, calibration: Calibration) -> Iterator[Figure]:
    """Whether the answer that people found more correct is the better supported one by the true answer."""
    agrees, shorter = [], []
    for pair in preferences(data):
        first, second = (measure_output(answer, pair.truth, pair.query) for answer in (pair.first, pair.second))
        if first is None or second is None:
            continue
        gap = calibration.logit(second.values) - calibration.logit(first.values)
        agrees.append(0.5 if gap == 0 else float((gap > 0) == (pair.preferred > 0)))
        size = len(pair.first) - len(pair.second)
        shorter.append(0.5 if size == 0 else float((size > 0) == (pair.preferred > 0)))
    low, high = wilson_interval(sum(agrees), len(agrees))
    yield Figure(
        benchmark=BENCHMARK,
        name="RAGChecker: agrees with people on the more correct answer",
        value=float(np.mean(agrees)),
        unit="share",
        method="pairs that annotators do not contradict each other on; context is the true answer",
        n=len(agrees),
        low=low,
        high=high,
        baseline="the shorter answer",
        baseline_value=float(np.mean(shorter)),
    )


def _unreferenced(data: Path, calibration: Calibration) -> Iterator[Figure]:
    """Negative control: without a reference nothing is scored, and the question alone must tell next to nothing."""
    rows = unreferenced(data)
    judge = BuiltInJudge(calibration)
    silent = [judge.probability(answer, "") is None for _, answer, _ in rows]
    asked = [(judge.probability(answer, question), wrong, len(answer.split())) for question, answer, wrong in rows]
    known = [(score, wrong, length) for score, wrong, length in asked if score is not None]
    supported = np.array([not wrong for _, wrong, _ in known])
    yield Figure(
        benchmark=BENCHMARK,
        name="HaluEval general without a context: no score given",
        value=float(np.mean(silent)),
        unit="share",
        method="negative control",
        n=len(rows),
        goal="1",
    )
    yield Figure(
        benchmark=BENCHMARK,
        name="HaluEval general, the question as context, AUROC",
        value=auroc(np.array([score for score, _, _ in known]), supported),
        unit="",
        method="negative control: a question is no reference",
        n=len(known),
        goal="near 0.5",
        baseline="shorter is supported",
        baseline_value=auroc(-np.array([float(length) for _, _, length in known]), supported),
    )


def _calibrated(made: Measured, calibration: Calibration) -> Iterator[Figure]:
    """Calibration error and Brier score on the sources that are never fitted on."""
    here = made.where(np.isin(made.sources, MEASURED_ONLY))
    probability = np.array([calibration.probability(dict(zip(made.names, row, strict=True))) for row in here.values])
    supported = ~here.unsupported
    base = float(supported.mean())
    yield Figure(
        benchmark=BENCHMARK,
        name="expected calibration error, sources left out",
        value=calibration_error(probability, supported),
        unit="",
        method="ten bins of equal size; news pages and product answers",
        n=len(supported),
        baseline="length-only, its ranks as probability",
        baseline_value=calibration_error(_ranks(-_lengths(here)), supported),
    )
    yield Figure(
        benchmark=BENCHMARK,
        name="Brier score, sources left out",
        value=float(np.mean((probability - supported) ** 2)),
        unit="",
        method="news pages and product answers",
        n=len(supported),
        baseline="the base rate",
        baseline_value=base * (1 - base),
    )


def _latency(data: Path, calibration: Calibration) -> Iterator[Figure]:
    """Wall time of an output of about 200 words in a context of about 500 that was not seen before, and again."""
    texts = [" ".join(text.split()[:500]) for text in article_texts(data, ("news pages",))["news pages"]]
    texts = [text for text in texts if len(text.split()) >= 400]
    # A digit in front makes each context and output a new one, so nothing is remembered.
    cases = [(f"{turn} {' '.join(text.split()[:200])}", f"{turn} {text}") for turn in range(1, 9) for text in texts]
    ground(*cases[0], None, calibration)
    new = milliseconds(lambda i: ground(*cases[i], None, calibration), len(cases))
    known = milliseconds(lambda i: ground("Again: " + cases[i][0], cases[i][1], None, calibration), len(cases))
    words = int(np.mean([len(context.split()) for _, context in cases]))
    for name, taken, goal in (("new", new, "< 5 ms"), ("known", known, None)):
        value, low, high = p95_interval(taken)
        yield Figure(
            benchmark=BENCHMARK,
            name=f"200 words scored, {name} context, p95",
            value=value,
            unit="ms",
            method=f"news pages, context of {words} words",
            n=len(taken),
            low=low,
            high=high,
            goal=goal,
            baseline="p50",
            baseline_value=float(np.median(taken)),
        )


def evaluate_labelled(rows: Iterable[Mapping[str, Any]], judge: Judge | None = None) -> list[Figure]:
    """AUROC, balanced accuracy and calibration on labelled outputs, clustered by context, with the length control.

    Parameters
    ----------
    rows : mappings with a context, an output and a label under one of the names in `CONTEXT_FIELDS`, `OUTPUT_FIELDS`,
        `LABEL_FIELDS`; a label is true where the output is supported (also 0/1, yes/no, supported/unsupported).
        `group` (optional) is what belongs together; the context where absent. `summary_sentences` (sentences with yes
        and no responses, as QAGS publishes them) stands for output and label: supported where each sentence has
        a majority of yes
    judge : any judge; the built-in where not given

    Raises
    ------
    LabelledError : a row without one of them or with a label that cannot be read, naming the row
    """
    judge = judge or BuiltInJudge(packaged_calibration())
    scores, labels, groups, lengths, silent = [], [], [], [], 0
    for number, row in enumerate(rows, start=1):
        context, output, label, group = _labelled(row, number)
        probability = judge.probability(output, context, _text(row.get("prompt")))
        if probability is None:
            silent += 1
            continue
        scores.append(probability)
        labels.append(label)
        groups.append(group)
        lengths.append(-float(len(output.split())))
    return _labelled_figures(
        np.array(scores), np.array(labels, dtype=bool), np.array(groups), np.array(lengths), judge.name, silent
    )


def read_labelled(file: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file.

    Raises
    ------
    LabelledError : not readable, or a line that is not a JSON object, naming it
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelledError(f"{file}: not readable: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LabelledError(f"{file}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise LabelledError(f"{file}: line {number} is not a JSON object")
        rows.append(row)
    return rows


def _labelled(row: Mapping[str, Any], number: int) -> tuple[str, str, bool, str]:
    if isinstance(row.get("summary_sentences"), list):
        row = {**row, **_voted(row["summary_sentences"], number)}
    context = _text(_field(row, CONTEXT_FIELDS, number))
    output = _text(_field(row, OUTPUT_FIELDS, number))
    given = _field(row, LABEL_FIELDS, number)
    if isinstance(given, (bool, np.bool_)):
        label = bool(given)
    elif isinstance(given, (int, float)) and 0 <= given <= 1:
        label = given > 0.5
    elif str(given).strip().lower() in _SUPPORTED_WORDS | _UNSUPPORTED_WORDS:
        label = str(given).strip().lower() in _SUPPORTED_WORDS
    else:
        raise LabelledError(f"row {number}: label {given!r} is neither supported nor unsupported")
    if not context or not output:
        raise LabelledError(f"row {number}: context and output must be texts")
    named = next((str(row[name]) for name in GROUP_FIELDS if row.get(name) is not None), None)
    return context, output, label, named or context


def _voted(sentences: list[Any], number: int) -> dict[str, Any]:
    """Output and label of sentences on which people voted; a tie is not a majority."""
    try:
        votes = [[str(vote["response"]).strip().lower() for vote in said["responses"]] for said in sentences]
        output = " ".join(str(said["sentence"]) for said in sentences)
    except (KeyError, TypeError) as error:
        raise LabelledError(f"row {number}: summary_sentences need sentence and responses: {error!r}") from error
    return {"output": output, "label": all(2 * given.count("yes") > len(given) for given in votes)}


def _field(row: Mapping[str, Any], names: tuple[str, ...], number: int) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise LabelledError(f"row {number}: none of the fields {', '.join(names)}")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return value.strip() if isinstance(value, str) else ""


def _labelled_figures(
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    groups: NDArray[np.str_],
    lengths: NDArray[np.float64],
    name: str,
    silent: int,
) -> list[Figure]:
    method = f"{name}; {silent} rows where nothing can be said left out" if silent else name
    if not len(labels) or labels.all() or not labels.any():
        return [
            Figure(benchmark=BENCHMARK, name="AUROC", value=None, unit="", method=f"{method}: labels of one kind only")
        ]
    low, high = _clustered(lambda rows: auroc(scores[rows], labels[rows]), groups, labels)
    half = balanced_accuracy(scores, labels, 0.5)
    chosen = _cross_fitted(scores, labels, groups)
    return [
        Figure(
            benchmark=BENCHMARK, name="AUROC, supported over unsupported", value=auroc(scores, labels), unit="",
            method=method, n=len(labels), low=low, high=high,
            baseline="shorter is supported", baseline_value=auroc(lengths, labels),
        ),
        Figure(
            benchmark=BENCHMARK, name="balanced accuracy at probability 0.5", value=half, unit="", method=method,
            n=len(labels), baseline="one answer for all", baseline_value=0.5,
        ),
        Figure(
            benchmark=BENCHMARK, name="balanced accuracy, threshold from the other groups", value=chosen, unit="",
            method=f"{method}; five folds of groups", n=len(labels),
            baseline="length, same way", baseline_value=_cross_fitted(lengths, labels, groups),
        ),
        Figure(
            benchmark=BENCHMARK, name="expected calibration error", value=calibration_error(scores, labels), unit="",
            method=f"{method}; ten bins of equal size", n=len(labels),
            baseline="base rate of the labels", baseline_value=abs(0.5 - float(labels.mean())),
        ),
        Figure(
            benchmark=BENCHMARK, name="Brier score", value=float(np.mean((scores - labels) ** 2)), unit="",
            method=method, n=len(labels),
            baseline="base rate", baseline_value=float(labels.mean() * (1 - labels.mean())),
        ),
    ]  # fmt: skip


def auroc(scores: NDArray[np.float64], supported: NDArray[np.bool_]) -> float:
    """Probability that a supported output scores above an unsupported one, ties counting half."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    yes, no = int(supported.sum()), int((~supported).sum())
    return float((ranks[supported].sum() - yes * (yes + 1) / 2) / (yes * no)) if yes and no else float("nan")


def balanced_accuracy(scores: NDArray[np.float64], supported: NDArray[np.bool_], threshold: float) -> float:
    """Mean of the two classes' recall where `scores >= threshold` says supported."""
    return _recalls(scores >= threshold, supported)


def calibration_error(probability: NDArray[np.float64], happened: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean gap between probability and frequency over bins of equal size (Naeini et al. 2015)."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    return float(
        sum(len(p) * abs(probability[p].mean() - happened[p].mean()) for p in parts if len(p)) / len(probability)
    )


def _cross_fitted(scores: NDArray[np.float64], labels: NDArray[np.bool_], groups: NDArray[np.str_]) -> float | None:
    """Balanced accuracy with each fold's threshold from the other folds; groups stay whole; None under ten."""
    names = np.unique(groups)
    if len(names) < 10:
        return None
    fold_of = dict(zip(names.tolist(), np.random.default_rng(7).permutation(len(names)) % 5, strict=True))
    folds = np.array([fold_of[group] for group in groups.tolist()])
    said = np.zeros(len(labels), dtype=bool)
    for fold in range(5):
        inside, outside = folds == fold, folds != fold
        tried = np.quantile(scores[outside], np.linspace(0.02, 0.98, 97))
        best = max(tried, key=lambda t: balanced_accuracy(scores[outside], labels[outside], float(t)))
        said[inside] = scores[inside] >= best
    return _recalls(said, labels)


def _recalls(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Mean recall of the classes that are there."""
    recalls = [float((said == truth)[truth == kind].mean()) for kind in (True, False) if (truth == kind).any()]
    return float(np.mean(recalls))


def _clustered(statistic: Any, groups: NDArray[np.str_], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """90 % interval over resampled groups."""
    rng = np.random.default_rng(7)
    _, codes = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    draws = []
    for _ in range(300):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        if labels[rows].any() and not labels[rows].all():
            draws.append(statistic(rows))
    low, high = np.percentile(draws, [5, 95])
    return float(low), float(high)


def _auroc_figure(name: str, scores: NDArray[np.float64], here: Measured, method: str) -> Figure:
    supported = ~here.unsupported
    groups = np.array([row.document for row in here.rows])
    low, high = _clustered(lambda rows: auroc(scores[rows], supported[rows]), groups, supported)
    return Figure(
        benchmark=BENCHMARK,
        name=name,
        value=auroc(scores, supported),
        unit="",
        method=f"{method}; interval over documents",
        n=len(supported),
        low=low,
        high=high,
        baseline="shorter is supported",
        baseline_value=auroc(-_lengths(here), supported),
    )


def _scores(here: Measured, calibration: Calibration) -> NDArray[np.float64]:
    return np.array([calibration.logit(dict(zip(here.names, row, strict=True))) for row in here.values])


def _lengths(here: Measured) -> NDArray[np.float64]:
    return np.array([len(row.output.split()) for row in here.rows], dtype=float)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (np.argsort(np.argsort(values)) + 0.5) / len(values)
