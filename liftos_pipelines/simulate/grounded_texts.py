"""Summaries of given texts with known truth: faithful in five styles, and with one of fourteen kinds of error.

The texts come from the caller; nothing is stored here but function words, a small table of synonyms and of opposites.
Names, numbers and sentences are found by patterns of this file alone, so that what is planted does not depend on how
the checks of `modules.llm.grounding` read a text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

STYLES = ("copy", "compress", "join", "rephrase", "gist")
"""Copied sentences; clauses dropped; two sentences joined; synonyms and reordering; one much rephrased sentence."""
_SYNONYMS = {
    word: tuple(others.split(","))
    for word, others in (
        pair.split("/")
        for pair in ["said/stated,told_reporters,explained", "big/large,major", "large/big,sizeable", "help/assist,aid", "use/employ,utilise", "used/employed,utilised", "show/demonstrate,indicate", "shows/indicates,demonstrates", "many/numerous,lots_of", "important/crucial,key", "start/begin,commence", "started/began,commenced", "end/finish,conclude", "buy/purchase", "bought/purchased", "sell/market", "small/little,minor", "children/kids,youngsters", "people/persons,individuals", "man/male,gentleman", "woman/lady", "house/home,property", "police/officers,authorities", "killed/left_dead", "died/passed_away", "country/nation", "company/firm,business", "city/town", "money/cash,funds", "job/post,role", "make/create,produce", "made/created,produced", "get/obtain,receive", "got/obtained,received", "give/provide,offer", "gave/provided", "need/require", "needs/requires", "want/wish", "wants/wishes", "improve/enhance,better", "often/frequently", "usually/typically,generally", "also/additionally", "but/yet,however", "because/since", "about/around,approximately", "problem/issue,difficulty", "problems/issues,difficulties", "example/instance", "result/outcome", "results/outcomes", "change/alter", "method/approach,technique", "methods/approaches,techniques", "study/research,investigation", "found/discovered,identified", "think/believe", "different/various,distinct", "good/fine,beneficial", "bad/poor,harmful", "fast/quick,rapid", "increase/raise,boost", "reduce/cut,lower", "include/comprise,contain", "includes/contains,comprises", "allow/let,permit", "allows/lets,permits", "happen/occur", "happened/occurred", "ask/request", "asked/requested,inquired", "quickly/rapidly", "doctor/physician", "car/vehicle", "road/street", "near/close_to", "whole/entire", "several/a_number_of", "main/principal,primary", "keep/retain", "choose/select,pick", "find/discover,locate", "learn/study", "provides/supplies,offers", "common/widespread,frequent", "specific/particular", "necessary/needed,required", "possible/feasible", "ensure/guarantee,make_sure", "known/recognised", "called/named,termed", "create/build", "team/squad,side", "game/match", "win/triumph", "won/triumphed", "group/band,party", "however/yet", "although/though"]
    )
}  # fmt: skip
_OPPOSITES = dict(
    pair.split("/")
    for both in [
        "increase/decrease",
        "increased/decreased",
        "rise/fall",
        "rose/fell",
        "higher/lower",
        "more/less",
        "before/after",
        "first/last",
        "best/worst",
        "large/small",
        "always/never",
        "win/lose",
        "won/lost",
        "buy/sell",
        "bought/sold",
        "accept/reject",
        "accepted/rejected",
        "allow/prevent",
        "allowed/prevented",
        "open/close",
        "old/young",
        "better/worse",
        "easy/difficult",
        "male/female",
        "man/woman",
        "good/bad",
        "high/low",
        "most/least",
        "early/late",
        "positive/negative",
        "support/oppose",
        "supported/opposed",
        "begin/end",
        "strong/weak",
    ]
    for pair in (both, "/".join(reversed(both.split("/"))))
)
_PRONOUNS = {"he": "she", "she": "he", "his": "her", "her": "his", "him": "her"}
_STARTERS = frozenset(
    [
        "The",
        "A",
        "An",
        "In",
        "On",
        "At",
        "It",
        "He",
        "She",
        "They",
        "We",
        "I",
        "You",
        "This",
        "That",
        "These",
        "Those",
        "But",
        "And",
        "For",
        "To",
        "Of",
        "If",
        "When",
        "While",
        "As",
        "By",
        "With",
        "From",
        "His",
        "Her",
        "Their",
        "Its",
        "Our",
        "My",
        "There",
        "Here",
        "What",
        "How",
        "Why",
        "Who",
        "However",
        "Also",
        "Overall",
        "Additionally",
        "So",
        "Not",
        "No",
        "Yes",
        "After",
        "Before",
        "Since",
        "One",
        "Some",
        "All",
        "Many",
        "Most",
        "Each",
        "Both",
        "Other",
        "Such",
        "Then",
        "Once",
        "Now",
        "First",
        "Second",
        "Finally",
    ]
)
_AUXILIARIES = r"(?:is|are|was|were|has|have|had|will|would|can|could|should|may|might|must)"
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")
_NUMBER = re.compile(r"(?<![\w.,\[-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w]|[.,]\d|\.\s)")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_DATE = re.compile(rf"\b(?:{'|'.join(_MONTHS + _WEEKDAYS)})\b")
_VERB = re.compile(rf"\s(?={_AUXILIARIES}\s|said\s|says\s|[a-z]{{3,}}ed\s)")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”)]*\s+(?=[\"'“(]?[A-Z0-9])|\n+")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An output for a context with its truth. `family` is the error's kind, or "faithful"."""

    source: str
    document: str
    context: str
    output: str
    supported: bool
    style: str
    family: str


Error = Callable[[str, "Article", "Article", np.random.Generator], str | None]


@dataclass(frozen=True, kw_only=True)
class Article:
    """A text cut for use: its sentences of usable length, names and numbers."""

    text: str
    sentences: tuple[str, ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]


def read_article(text: str, most_words: int = 450) -> Article:
    """Sentences of 6 to 45 words of a text's first `most_words` words."""
    kept, words = [], 0
    for sentence in _SENTENCE_END.split(text):
        sentence = " ".join(sentence.split())
        words += len(sentence.split())
        if words > most_words:
            break
        kept.append(sentence)
    body = " ".join(kept)
    usable = tuple(
        s for s in kept if 6 <= len(s.split()) <= 45 and s[-1:] in ".!?" and not s.startswith(("#", "*", "|"))
    )
    return Article(
        text=body,
        sentences=usable,
        names=tuple(sorted({name for s in kept for name in names_in(s)})),
        numbers=tuple(sorted(set(_NUMBER.findall(body)))),
    )


def names_in(sentence: str) -> list[str]:
    """Runs of capitalised words, without a sentence's ordinary first word, days and months."""
    found = []
    for match in _NAME.finditer(sentence):
        words = match.group().split()
        if match.start() == 0 and (len(words) == 1 or words[0] in _STARTERS):
            words = words[1:]
        if words and words[0] not in _STARTERS and words[0] not in _MONTHS + _WEEKDAYS:
            name = " ".join(words)
            found.append(re.sub(r"['’]s$", "", name))
    return found


def summaries(
    texts: Sequence[str], source: str, seed: int, *, per_document: int = 4, most_words: int = 450
) -> list[Summary]:
    """For each text up to `per_document` faithful summaries and as many with an error, styles and kinds in turn.

    A text with fewer than five usable sentences is left out; an error that cannot be planted is passed over.
    """
    rng = np.random.default_rng(seed)
    articles = [article for text in texts if len((article := read_article(text, most_words)).sentences) >= 5]
    made: list[Summary] = []
    for number, article in enumerate(articles):
        other = articles[(number + 1 + int(rng.integers(max(1, len(articles) - 1)))) % len(articles)]
        for _ in range(per_document):
            style = str(rng.choice(STYLES))
            faithful = _written(article, style, rng)
            base = {"source": source, "document": f"{source}-{number}", "context": article.text, "style": style}
            made.append(Summary(**base, output=" ".join(faithful), supported=True, family="faithful"))
            sentences = _written(article, style, rng)
            wrong = _with_error(sentences, article, other, rng)
            if wrong is not None:
                output, family = wrong
                made.append(Summary(**base, output=output, supported=False, family=family))
    return made


def _written(article: Article, style: str, rng: np.random.Generator) -> list[str]:
    if style == "gist":
        return [_gist(str(rng.choice(article.sentences)), rng)]
    count = int(rng.integers(2, 5))
    # Summaries of news lean on the beginning.
    weights = np.linspace(2.0, 0.5, len(article.sentences))
    places = np.sort(
        rng.choice(len(article.sentences), min(count, len(article.sentences)), replace=False, p=weights / weights.sum())
    )
    chosen = [article.sentences[i] for i in places]
    if style == "compress":
        return [_compressed(s, rng) for s in chosen]
    if style == "rephrase":
        return [_reordered(_rephrased(_compressed(s, rng), rng, 0.5), rng) for s in chosen]
    if style == "join":
        return [_joined(chosen[0], chosen[1]), *chosen[2:]]
    return chosen


def _compressed(sentence: str, rng: np.random.Generator) -> str:
    """A relative or inserted clause, an opening phrase or a bracket dropped; what stays is still said."""
    body, end = sentence[:-1], sentence[-1]
    ways = []
    if re.search(r" \([^)]*\)", body):
        ways.append(re.sub(r" \([^)]*\)", "", body, count=1))
    if re.search(r", (?:which|who|where|including|such as|with|while|although|as)\s[^,]+$", body):
        ways.append(re.sub(r", (?:which|who|where|including|such as|with|while|although|as)\s[^,]+$", "", body))
    if re.search(r", (?:which|who|where|a|an|the|aged|including|such as)\s[^,]+, ", body):
        ways.append(re.sub(r", (?:which|who|where|a|an|the|aged|including|such as)\s[^,]+, ", " ", body, count=1))
    opening = re.match(
        r"(?:On|In|At|After|For|However|Meanwhile|Additionally|Overall|Also|Finally)\b[^,]{0,40}, ", body
    )
    if opening and len(body) - opening.end() > 25:
        rest = body[opening.end() :]
        ways.append(rest[0].upper() + rest[1:])
    return (str(rng.choice(ways)) if ways else body) + end


def _rephrased(sentence: str, rng: np.random.Generator, rate: float) -> str:
    words = []
    for word in sentence.split(" "):
        core = word.rstrip(".,;:!?")
        others = _SYNONYMS.get(core.lower())
        if others and rng.random() < rate:
            new = str(rng.choice(others)).replace("_", " ")
            words.append((new.capitalize() if core[0].isupper() else new) + word[len(core) :])
        elif core.endswith("ly") and len(core) > 5 and core[0].islower() and rng.random() < rate / 2:
            continue
        else:
            words.append(word)
    return " ".join(words)


def _reordered(sentence: str, rng: np.random.Generator) -> str:
    """An opening phrase of place or time moved to the end."""
    match = re.match(r"((?:On|In|At|After|For|During|By) [^,]{3,40}), (.+)([.!?])$", sentence)
    if match and rng.random() < 0.6:
        opening, rest, end = match.groups()
        return f"{rest[0].upper()}{rest[1:]} {opening[0].lower()}{opening[1:]}{end}"
    return sentence


def _gist(sentence: str, rng: np.random.Generator) -> str:
    """One sentence in much changed words: compressed, synonyms, names by their last word, a frame around it."""
    for _ in range(2):
        sentence = _compressed(sentence, rng)
    sentence = _reordered(_rephrased(sentence, rng, 0.95), rng)
    for name in names_in(sentence):
        if " " in name and rng.random() < 0.4:
            sentence = sentence.replace(name, name.split()[-1])
    sentence = re.sub(r"\b(?:very|also|really|just|then|well|quite)\s", "", sentence)
    frames = ("", "", "It has emerged that ", "Reports suggest ", "According to the text, ", "We learn that ")
    frame = str(rng.choice(frames))
    first = sentence.split(" ")[0]
    keep = not frame or first not in _STARTERS
    return frame + (sentence if keep else sentence[0].lower() + sentence[1:])


def _joined(first: str, second: str) -> str:
    keeps = second.split(" ")[0] not in _STARTERS
    return f"{first[:-1]}, and {second if keeps else second[0].lower() + second[1:]}"


def _with_error(
    sentences: list[str], article: Article, other: Article, rng: np.random.Generator
) -> tuple[str, str] | None:
    """One error in one sentence, the kinds tried in random order; None where none can be planted."""
    for family in rng.permutation(list(ERRORS)):
        for place in rng.permutation(len(sentences)):
            wrong = ERRORS[str(family)](sentences[place], article, other, rng)
            if wrong is not None and wrong != sentences[place]:
                return " ".join([*sentences[:place], wrong, *sentences[place + 1 :]]), str(family)
    return None


def plant(sentence: str, family: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    """The sentence with an error of one kind; None where it cannot be planted."""
    return ERRORS[family](sentence, article, other, rng)


def _swap_name(pool: Callable[[Article, Article], tuple[str, ...]]) -> Error:
    def error(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
        here = names_in(sentence)
        if not here:
            return None
        name = str(rng.choice(here))
        mine = {word.lower() for word in sentence.replace(".", " ").replace(",", " ").split()}
        others = [n for n in pool(article, other) if mine.isdisjoint(n.lower().split()) and len(n) > 2]
        return sentence.replace(name, str(rng.choice(others)), 1) if others else None

    return error


def _outside(article: Article, other: Article) -> tuple[str, ...]:
    known = {word for name in article.names for word in name.split()}
    return tuple(n for n in other.names if known.isdisjoint(n.split()) and n not in article.text)


def _number_inside(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    here = _NUMBER.findall(sentence)
    others = [n for n in article.numbers if n not in here]
    return sentence.replace(str(rng.choice(here)), str(rng.choice(others)), 1) if here and others else None


def _number_outside(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    here = _NUMBER.findall(sentence)
    if not here:
        return None
    number = str(rng.choice(here))
    plain = number.replace(",", "")
    decimals = len(plain.partition(".")[2])
    for _ in range(20):
        moved = float(plain) * float(rng.uniform(0.4, 1.9)) + float(rng.integers(-3, 4))
        new = f"{max(0.0, moved):,.{decimals}f}" if "," in number else f"{max(0.0, moved):.{decimals}f}"
        if new not in article.text and not (float(plain) <= 1 and decimals == 0):
            return re.sub(rf"(?<![\w.,-]){re.escape(number)}(?!\w)", new, sentence, count=1)
    return None


def _date(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    here = _DATE.findall(sentence)
    if not here:
        return None
    day = str(rng.choice(here))
    pool = [d for d in (_MONTHS if day in _MONTHS else _WEEKDAYS) if d != day]
    return sentence.replace(day, str(rng.choice(pool)), 1)


def _negation(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    if " not " in sentence:
        return sentence.replace(" not ", " ", 1)
    match = re.search(rf"\s{_AUXILIARIES}\s", sentence)
    return sentence[: match.end()] + "not " + sentence[match.end() :] if match else None


def _opposite(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    words = sentence.split(" ")
    places = [i for i, word in enumerate(words) if word.lower().rstrip(".,") in _OPPOSITES]
    if not places:
        return None
    i = int(rng.choice(places))
    core = words[i].rstrip(".,")
    new = _OPPOSITES[core.lower()]
    words[i] = (new.capitalize() if core[0].isupper() else new) + words[i][len(core) :]
    return " ".join(words)


def _roles(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    here = [n for n in dict.fromkeys(names_in(sentence))]
    for left, right in itertools.pairwise(here):
        if left in right or right in left:
            continue
        between = sentence[sentence.find(left) + len(left) : sentence.find(right)]
        if len(between.split()) >= 2 and " and " not in between and "," not in between:
            return sentence.replace(left, "\0", 1).replace(right, left, 1).replace("\0", right, 1)
    return None


def _attribution(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    absent = [n for n in article.names if n not in sentence and len(n) > 3]
    if not absent:
        return None
    name = str(rng.choice(absent))
    said = re.search(r"\b(?:said|says|told|according to)\b", sentence)
    here = names_in(sentence)
    if said and here:
        return sentence.replace(min(here, key=lambda n: abs(sentence.find(n) - said.start())), name, 1)
    return f"{name} said that {sentence[0].lower() if sentence.split()[0] in _STARTERS else sentence[0]}{sentence[1:]}"


def _pronoun(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    match = re.search(r"\b(?:he|she|his|him|He|She|His)\b", sentence)
    if not match:
        return None
    new = _PRONOUNS[match.group().lower()]
    return (
        sentence[: match.start()] + (new.capitalize() if match.group()[0].isupper() else new) + sentence[match.end() :]
    )


def _fusion(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    """The subject of one sentence with what is said of another's."""
    first = _VERB.search(sentence)
    if not first or not 2 <= len(sentence[: first.start()].split()) <= 14:
        return None
    for place in rng.permutation(len(article.sentences)):
        donor = article.sentences[place]
        second = _VERB.search(donor)
        if donor[:20] == sentence[:20] or not second or len(donor[second.start() :].split()) < 4:
            continue
        if donor[: second.start()].split()[0] in {"He", "She", "It", "They", "His", "Her", "This"}:
            continue
        return sentence[: first.start()] + donor[second.start() :]
    return None


def _insertion(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    """A phrase of another text at the end of the sentence."""
    phrases = [
        match.group(1)
        for s in other.sentences
        for match in re.finditer(
            r" ((?:in|at|for|after|with|by|from|because of|due to) (?:[\w-]+ ){1,5}[\w-]+)(?=[.,])", s
        )
    ]
    return f"{sentence[:-1]} {rng.choice(phrases)}{sentence[-1]}" if phrases else None


def _foreign(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    """A sentence's ending exchanged for that of a sentence of another text."""
    first = _VERB.search(sentence)
    endings = [s[m.start() :] for s in other.sentences if (m := _VERB.search(s))]
    return sentence[: first.start()] + str(rng.choice(endings)) if first and endings else None


def _noun(sentence: str, article: Article, other: Article, rng: np.random.Generator) -> str | None:
    """A plain word after "the", "a" or "of" exchanged for one that stands there elsewhere in the text."""
    pattern = r"\b(?:the|a|an|of) ([a-z]{4,})(?= (?:of|in|is|was|to|and|for|on|at|with|has|by)\b|[.,])"
    here = re.findall(pattern, sentence)
    others = [w for w in re.findall(pattern, article.text) if w not in sentence]
    return sentence.replace(f" {rng.choice(here)}", f" {rng.choice(others)}", 1) if here and others else None


ERRORS: dict[str, Error] = {
    "name_inside": _swap_name(lambda article, _: article.names),
    "name_outside": _swap_name(_outside),
    "number_inside": _number_inside,
    "number_outside": _number_outside,
    "date": _date,
    "negation": _negation,
    "opposite": _opposite,
    "roles": _roles,
    "attribution": _attribution,
    "pronoun": _pronoun,
    "fusion": _fusion,
    "insertion": _insertion,
    "foreign": _foreign,
    "noun": _noun,
}
FAMILIES = tuple(ERRORS)
