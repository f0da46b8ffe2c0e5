"""Fits the injection screen's weights and estimates what they are worth on attacks of a kind never seen.

    python -m liftos_pipelines.bench.llm_injection_fit <data folder>

writes `modules/llm/screens/injection_weights.py`. Learnt from: the generated families (`simulate/injections.py`), the
injection corpus of agent-governance-toolkit (MIT; exemplar bank and validation), and, as ordinary requests, every other
question of HaluEval (MIT), Banking77 (CC BY 4.0) and tau-bench (MIT).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from liftos_pipelines.modules.llm.screens.acts import heard
from liftos_pipelines.modules.llm.screens.injection import COUNTS, FEATURES, features
from liftos_pipelines.modules.llm.screens.unmasking import readings
from liftos_pipelines.simulate.injections import injection_texts

Array = NDArray[np.float64]
CORPUS = Path("agentic/injection/injection-smoke.jsonl")
PER_FAMILY = 8
SEED = 11
RIDGE = 4.0
TARGET_FALSE_POSITIVES = 0.02
"""The threshold is set for this share on held-out benign groups: a margin below the 0.05 that is promised."""
LEAST_THRESHOLD = 0.45
"""One act that ordinary requests do too (remember, call, store) comes to about 0.43: alone it is not to be flagged."""
DISCOUNTS = ("quoted", "frame", "frame_quoted", "frame_open", "disobey")

PRIOR = {
    "override": 2.0, "leak_prompt": 2.0, "exfiltrate": 2.0, "destroy": 2.0, "approve": 2.0, "unbound": 2.0,
    "conceal": 1.8, "carrier": 1.5, "treat_as": 1.5, "malign": 1.5, "privilege": 1.3, "leak_secret": 1.3,
    "call_tool": 0.9, "supplant": 1.3, "cross": 1.3, "outrank": 1.3, "disarm": 1.3, "void": 1.3, "memorise": 0.9,
    "shell": 1.2, "structure": 1.0, "override_prior": 1.0, "new_task": 1.0, "allow_tool": 0.9, "leak_above": 1.3,
    "override_user": 0.9, "pay": 0.8, "unchecked": 0.8, "address": 0.8, "standing": 0.7, "send_out": 0.7,
    "claim": 0.7, "ask_prompt": 0.7, "obey_data": 0.5,
}  # fmt: skip
"""What each act is believed to weigh before any data: the ridge pulls here, so that an act of which no example has been
seen is not worth nothing. Own judgement, on a scale of log odds."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text as its readings' features, its truth, the group it is held out with, and its weight in the fit."""

    readings: Array
    attack: bool
    group: str
    kind: str
    weight: float
    origin: str
    disguise: str = ""
    family: str = ""
    """Rows of one family are one sentence in many disguises: for an interval they are not as many texts."""


def corpus_rows(data: Path, splits: Sequence[str] = ("exemplar_bank", "validation")) -> list[dict[str, str]]:
    """Rows of the corpus in these splits."""
    lines = (data / CORPUS).read_text(encoding="utf-8").split("\n")
    return [row for row in map(json.loads, filter(None, lines)) if row["split"] in splits]


def as_matrix(text: str) -> Array:
    """(readings, features) of one text."""
    named = [features(heard(reading.text)) for reading in readings(text)]
    return np.array([[values.get(name, 0.0) for name in FEATURES] for values in named])


def corpus_examples(data: Path, splits: Sequence[str] = ("exemplar_bank", "validation")) -> list[Example]:
    """The corpus, grouped by attack class or benign subclass."""
    found = []
    for row in corpus_rows(data, splits):
        attack = row["attack_class"] != "benign"
        kind = row["attack_class"] if attack else row["benign_subclass"]
        found.append(
            Example(
                readings=as_matrix(row["text"]), attack=attack, group=kind, kind=kind, weight=1.0, origin=row["split"],
                disguise=row["bypass_class"], family=row["family_id"],
            )
        )  # fmt: skip
    return found


def generated_examples(per_family: int = PER_FAMILY, seed: int = SEED) -> list[Example]:
    """The generated families, grouped by kind."""
    return [
        Example(
            readings=as_matrix(text.text), attack=text.attack, group=f"generated {text.kind}", kind=text.kind,
            weight=4.0 / per_family, origin="generated", disguise=text.disguise, family=text.family,
        )
        for text in injection_texts(per_family=per_family, seed=seed)
    ]  # fmt: skip


def ordinary_texts(data: Path) -> dict[str, list[str]]:
    """Real requests and messages nobody meant as an attack, by set."""
    lines = (data / "llm/halueval/general_data.json").read_text(encoding="utf-8").split("\n")
    asked = [json.loads(line)["user_query"] for line in lines if line.strip()]
    answered = [json.loads(line)["chatgpt_response"] for line in lines if line.strip()]
    with (data / "memory/banking77/train.csv").open(encoding="utf-8", newline="") as file:
        banking = [row["text"] for row in csv.DictReader(file)]
    said: list[str] = []
    for run in json.loads((data / "agentic/tau_bench/gpt-4o-airline.json").read_text(encoding="utf-8")):
        said += [m["content"] for m in run["traj"] if m["role"] in ("user", "tool") and m.get("content")]
    return {
        "HaluEval questions": asked,
        "HaluEval answers": answered[::4],
        "Banking77 queries": banking[::4],
        "tau-bench messages": list(dict.fromkeys(said))[::2],
    }


def ordinary_examples(data: Path, *, half: int) -> list[Example]:
    """Every other of the ordinary texts (`half` 0 or 1)."""
    return [
        Example(
            readings=as_matrix(text), attack=False, group=f"ordinary {name}", kind=name, weight=0.1, origin="ordinary"
        )
        for name, texts in ordinary_texts(data).items()
        for text in texts[half::2]
    ]  # fmt: skip


def fit(examples: Sequence[Example]) -> Array:
    """(features + 1,) weights, intercept last: ridge logistic, acts never below 0, discounts never above.

    An attack has to show in one reading, a benign text in none: fitted on each text's highest reading, in turns.
    """
    truth = np.array([example.attack for example in examples], dtype=float)
    weight = np.array([example.weight for example in examples])
    # Attacks and benign texts count alike in sum.
    weight = np.where(truth == 1, weight / weight[truth == 1].sum(), weight / weight[truth == 0].sum()) * 200
    bounds: list[tuple[float | None, float | None]] = [
        (None, 0.0) if name in DISCOUNTS else (0.0, None) for name in FEATURES
    ]
    bounds.append((None, None))
    prior = np.array([PRIOR.get(name, 0.0) for name in FEATURES])
    w = np.array([-1.0 if name in DISCOUNTS else 1.0 for name in FEATURES] + [-2.0])
    for _ in range(6):
        x = np.array([example.readings[int(np.argmax(example.readings @ w[:-1]))] for example in examples])
        x = np.hstack([x, np.ones((len(x), 1))])

        def loss(v: Array, x: Array = x) -> tuple[float, Array]:
            z = x @ v
            p = 1 / (1 + np.exp(-z))
            value = float((weight * (np.logaddexp(0, z) - truth * z)).sum() + RIDGE / 2 * ((v[:-1] - prior) ** 2).sum())
            return value, x.T @ (weight * (p - truth)) + RIDGE * np.append(v[:-1] - prior, 0.0)

        w = minimize(loss, w, jac=True, method="L-BFGS-B", bounds=bounds).x
    return w


def probabilities(examples: Sequence[Example], w: Array) -> Array:
    """(n,) probability of each text, by its highest reading."""
    best = np.array([float((example.readings @ w[:-1]).max() + w[-1]) for example in examples])
    return 1 / (1 + np.exp(-best))


def leave_class_out(examples: Sequence[Example], among: Callable[[Example], bool]) -> Array:
    """(n,) probabilities; each group whose examples are `among` is scored by weights that saw none of its class.

    Leaving out a class of the corpus leaves out the generated kind of the same name too. NaN for the others.
    """
    scores = np.full(len(examples), np.nan)
    for group in sorted({example.group for example in examples if among(example)}):
        twins = {group, *(f"generated {kind}" for kind in TWINS.get(group, ()))}
        w = fit([example for example in examples if example.group not in twins])
        held = [i for i, example in enumerate(examples) if example.group == group]
        scores[held] = probabilities([examples[i] for i in held], w)
    return scores


TWINS = {
    "direct_override": ("override",),
    "prompt_leakage": ("leak",),
    "tool_result_injection": ("result", "boundary"),
    "tool_abuse": ("tool",),
    "output_exfiltration": ("exfiltrate",),
    "indirect_injection": ("indirect",),
    "memory_poisoning": ("memory",),
    "data_boundary_abuse": ("boundary", "result"),
    "benign_security_discussion": ("mention",),
    "quoted_injection_example": ("mention",),
    "research_blog_excerpt": ("mention",),
    "security_training_material": ("mention",),
    "owasp_ncsc_guidance": ("mention", "guidance"),
    "tool_policy_documentation": ("guidance",),
    "detector_code_fixture": ("code",),
    "docs_code_comment": ("code", "changes"),
    "security_changelog": ("changes",),
    "benign_tool_use": ("tool",),
    "support_urgency": ("support",),
    "legitimate_imperative_request": ("request",),
    "benign_obfuscation_control": ("request",),
    "benign_compact_obfuscation_control": ("request", "support"),
    "high_entropy_structured_data": ("data",),
}
"""Generated kinds that are left out together with a class of the corpus, being its like."""


def threshold(scores: Array, examples: Sequence[Example]) -> float:
    """The cut that keeps held-out benign texts of the corpus and of the generator at the targeted share."""
    benign = np.sort([s for s, e in zip(scores, examples, strict=True) if not e.attack and not np.isnan(s)])
    return float(max(LEAST_THRESHOLD, np.quantile(benign, 1 - TARGET_FALSE_POSITIVES) + 1e-6))


def written(w: Array, cut: float) -> str:
    """The weights as a module's text."""
    rows = "\n".join(
        f'    "{name}": {value:.3f},' for name, value in zip(FEATURES, w, strict=False) if abs(value) >= 5e-4
    )
    return (
        '"""Weights of the injection screen, fitted by `bench/llm_injection_fit.py`; see there for what on."""\n\n'
        f"from __future__ import annotations\n\nWEIGHTS: dict[str, float] = {{\n{rows}\n}}\n"
        f"INTERCEPT = {w[-1]:.3f}\nTHRESHOLD = {cut:.3f}\n"
        '"""Keeps benign texts of classes that the weights had not seen to a share of 0.02, and is 0.45 at least."""\n'
    )


def main(data: Path) -> None:
    examples = corpus_examples(data) + generated_examples() + ordinary_examples(data, half=0)
    scores = leave_class_out(examples, lambda example: example.origin != "ordinary")
    cut = threshold(scores, examples)
    w = fit(examples)
    target = Path(__file__).parents[1] / "modules/llm/screens/injection_weights.py"
    target.write_text(written(w, cut), encoding="utf-8")
    print(f"threshold {cut:.3f}; {len(examples)} texts; features {len(FEATURES)} of which counts {len(COUNTS)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
