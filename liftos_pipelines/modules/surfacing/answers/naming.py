"""Which tracked names an answer uses: spelling variants, run-together text, and names that are also ordinary words.

A name that texts use as a word ("Target", "Away", "Made In") needs more than its letters. Each place it stands is
judged by case and context: `strong` (a capital in the middle of a sentence, an entry head among other brands, capitals
throughout, a third-person verb after it), `weak` (a capital where any word has one), or nothing (lower case). Weak
places count only in an answer that has a strong one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from liftos_pipelines.modules.surfacing.answers.answer import Answer
from liftos_pipelines.modules.surfacing.answers.common_words import COMMON_WORDS, FUNCTION_WORDS
from liftos_pipelines.modules.surfacing.answers.lists import generic
from liftos_pipelines.text import Hit, Name, NameFinder, fold, name_spelling

NOTHING, WEAK, STRONG = range(3)

_SEPARATOR = "\x00"  # between sentences: no name reaches across it
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CAMEL_PARTS = re.compile(r"[A-Z][a-z]+|[A-Z]+(?![a-z])|[a-z]+|\d+")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_OPENERS = re.compile(r"[.!?:;(\[{\"“„«>|/•–—]\s*$|^\W*$|\s[-*]\s*$")
_THIRD_PERSON = re.compile(
    r"^\s*(?:is|was|has|had|will|offers|provides|makes|made|sells|gives|lets|leads|uses|includes|matches|wins|ranks|stands"
    r"|remains|does|doesn't|isn't|hasn't|won't|charges|ships|ist|hat|bietet|est|a|offre|propose|es|ofrece|tiene|ha|tem"
    r"|oferece)\b"
)
_AND_ANOTHER = re.compile(r"^\s*(?:[,/&]|and|or|und|et|y|e)\s*[A-Z]")
_MAKER = re.compile(r"\b(?:by|from|at|via|von|bei|par|chez|por|da)\s+$", re.IGNORECASE)
MIN_TITLE_WORDS, TITLE_SHARE = 3, 0.7
MIN_GLUED = 4
"""Letters of a name that may be read out of run-together text."""
MIN_PLURAL = 5


@dataclass(frozen=True, kw_only=True)
class Named:
    """One use of a tracked name: the sentence, and the place of the name in that folded sentence."""

    name: str
    sentence: int
    start: int
    end: int
    product: str | None = None


class BrandFinder:
    """Finds tracked brands in parsed answers; built once for all answers."""

    def __init__(self, names: Sequence[Name]) -> None:
        spelled = {name_spelling(alias) for name in names for alias in (name.name, *name.aliases, *name.products)}
        self._products = {
            name_spelling(product): product
            for name in names
            for product in name.products
            if name_spelling(product) not in {name_spelling(alias) for alias in (name.name, *name.aliases)}
        }
        self._common: dict[str, bool] = {}
        extended = []
        for name in names:
            variants: dict[str, None] = {}
            for alias in (name.name, *name.aliases, *name.products):
                self._note(alias, name.common)
                for variant in spelling_variants(alias):
                    if name_spelling(variant) in spelled:
                        continue
                    variants[variant] = None
                    # Three words in a row with the letters of one made-up name are no accident.
                    self._note(variant, False if len(variant.split()) > 2 and not is_common(alias) else None)
                    if name_spelling(alias) in self._products:
                        self._products.setdefault(name_spelling(variant), alias)
            extended.append(Name(name=name.name, aliases=(*name.aliases, *variants), products=name.products))
        self._finder = NameFinder(extended)

    def _note(self, alias: str, declared: bool | None) -> None:
        spelling = name_spelling(alias)
        if spelling not in self._common or declared is not None:
            self._common[spelling] = is_common(alias) if declared is None else declared

    def find(self, answer: Answer, in_heads: Mapping[str, list[Hit]]) -> list[Named]:
        """Every use of a name that the answer's words support, in reading order; `in_heads` of the same answer."""
        texts = [sentence.text for sentence in answer.sentences]
        folded = [fold(text) for text in texts]
        starts = [0]
        for text in folded:
            starts.append(starts[-1] + len(text) + 1)
        hits = self._finder.find_folded(_SEPARATOR.join(folded))
        found: list[Named] = []
        strong: set[str] = set()
        weak: list[int] = []
        heads = _Heads(answer, in_heads)
        for hit in hits:
            sentence = bisect_right(starts, hit.start) - 1
            start, end = hit.start - starts[sentence], hit.end - starts[sentence]
            use = Named(
                name=hit.name, sentence=sentence, start=start, end=end, product=self._products.get(hit.spelling)
            )
            if self._common.get(hit.spelling, False):
                text, card = texts[sentence], answer.sentences[sentence].card
                if len(text) == len(folded[sentence]):
                    level = _evidence(text, start, end, hit, heads, card=card)
                else:
                    level = _unaligned(text, hit)
                if level == NOTHING:
                    continue
                if level == WEAK:
                    weak.append(len(found))
                else:
                    strong.add(hit.name)
            else:
                strong.add(hit.name)
            found.append(use)
        dropped = {position for position in weak if found[position].name not in strong}
        kept = [use for position, use in enumerate(found) if position not in dropped]
        if answer.glued:
            kept += self._run_together(texts, folded, {use.name for use in kept})
        return sorted(kept, key=lambda use: (use.sentence, use.start))

    def in_heads(self, answer: Answer) -> dict[str, list[Hit]]:
        """Uses of a name in the heads and labels of an answer's entries, whether it is an ordinary word or not."""
        heads = list(dict.fromkeys(text for item in answer.items for text in (item.label, item.head) if text))
        folded = [fold(head) for head in heads]
        starts = [0]
        for text in folded:
            starts.append(starts[-1] + len(text) + 1)
        found: dict[str, list[Hit]] = {head: [] for head in heads}
        for hit in self._finder.find_folded(_SEPARATOR.join(folded)):
            place = bisect_right(starts, hit.start) - 1
            start = starts[place]
            found[heads[place]].append(replace(hit, start=hit.start - start, end=hit.end - start))
        return found

    def _run_together(self, texts: Sequence[str], folded: Sequence[str], known: set[str]) -> Iterable[Named]:
        """Names glued to the word before or after them: `BuyVitamixBlendtec`."""
        for position, text in enumerate(texts):
            if not _CAMEL.search(text):
                continue
            apart = _CAMEL.sub(" ", text)
            whole = {hit.name for hit in self._finder.find(text)}
            fresh = [hit for hit in self._finder.find(apart) if hit.name not in whole and hit.name not in known]
            fresh = [hit for hit in fresh if hit.end - hit.start >= MIN_GLUED]
            # An ordinary word glued to something is a name only beside another name.
            sure = {hit.name for hit in fresh if not self._common.get(hit.spelling, False)}
            for hit in fresh:
                if hit.name in sure or ((sure | (whole & known)) and self._capital(apart, hit)):
                    place = folded[position].find(hit.spelling.replace(" ", ""))
                    at = max(place, 0)
                    product = self._products.get(hit.spelling)
                    yield Named(
                        name=hit.name, sentence=position, start=at, end=at + hit.end - hit.start, product=product
                    )

    @staticmethod
    def _capital(text: str, hit: Hit) -> bool:
        return len(text) == len(fold(text)) and text[hit.start].isupper()


class _Heads:
    """Entry heads of an answer that begin with a tracked name, read when first asked for."""

    def __init__(self, answer: Answer, in_heads: Mapping[str, list[Hit]]) -> None:
        self._answer, self._in_heads = answer, in_heads
        self._brands: dict[str, tuple[str, bool]] | None = None
        self._strangers = False

    def chosen(self, name: str, text: str) -> bool:
        """Whether `text` begins with an entry head about `name` in a list of things that have names.

        Beside it stands a head about another tracked name or, in lists other than bullets, one that is no everyday
        word: "Max brightness" among "Resolution" and "Weight" is a property, "Max" beside "Netflix" is not.
        """
        opening = fold(text)
        heads = [(head, bullet) for head, (other, bullet) in self._named().items() if other == name]
        return any(
            opening.startswith(head) and (self.elsewhere(name) or (self._strangers and not bullet))
            for head, bullet in heads
        )

    def elsewhere(self, name: str) -> bool:
        """Whether a head of the answer is about another name."""
        return any(other != name for other, _ in self._named().values())

    def _named(self) -> dict[str, tuple[str, bool]]:
        if self._brands is None:
            self._brands = {}
            for item in self._answer.items:
                for head in (item.label, item.head):
                    hits = self._in_heads.get(head, []) if head else []
                    if head and hits and not re.search(r"\w", fold(head)[: hits[0].start]):
                        place = fold(head)[hits[0].start :]
                        bullet = item.kind == "bullets" and self._brands.get(place, ("", True))[1]
                        self._brands[place] = (hits[0].name, bullet)
                    elif head and item.kind != "bullets" and not generic(head):
                        self._strangers = True
        return self._brands


def is_common(alias: str) -> bool:
    """Whether every word of a name is an ordinary word, so that its letters alone prove nothing."""
    if not re.fullmatch(r"[^\W\d_]+(?:[\s\-'’]+[^\W\d_]+)*", alias):
        return False
    spelled = [word for word in re.split(r"[\s\-]+", fold(alias)) if word]
    return bool(spelled) and all(word in COMMON_WORDS or word.rstrip("s") in COMMON_WORDS for word in spelled)


def spelling_variants(alias: str) -> list[str]:
    """Other ways to write a name: apostrophes left out or put in, `&` and `and`, `+` and `plus`, joined words apart."""
    variants = []
    plain = alias.replace("’", "'")
    if "'" in plain:
        variants += [plain.replace("'", ""), plain.replace("'", " ")]
    elif " " in plain:
        for word in plain.split():
            if len(word) > 4 and word.endswith("s") and not word.endswith("ss") and fold(word) not in COMMON_WORDS:
                variants.append(plain.replace(word, f"{word[:-1]}'s", 1))
    if "&" in plain:
        variants += [re.sub(r"\s*&\s*", " and ", plain), re.sub(r"\s*&\s*", " & ", plain)]
    elif " and " in plain:
        variants.append(plain.replace(" and ", " & "))
    if plain.endswith("+"):
        variants += [f"{plain[:-1]} Plus", f"{plain[:-1]} +"]
    if re.search(r"\b[A-Z]\.[A-Z]", plain):
        variants += [re.sub(r"\.(?=[A-Z])", ". ", plain), plain.replace(".", ""), plain.replace(".", " ")]
    parts = _CAMEL_PARTS.findall(plain)
    if plain.isalnum() and len(parts) > 1 and all(len(part) > 2 and part[0].isupper() for part in parts):
        variants.append(" ".join(parts))
    if plain.isalpha() and len(plain) >= MIN_PLURAL and not plain.lower().endswith("s") and not is_common(plain):
        variants.append(f"{plain}s")
    return [variant for variant in variants if variant.strip() and len(variant.strip()) > 1]


def _evidence(text: str, start: int, end: int, hit: Hit, heads: _Heads, *, card: bool) -> int:
    """How well the words around a common name support it; offsets are those of the text itself."""
    written, before, after = text[start:end], text[:start], text[end:]
    parts = _WORD.findall(written)
    capitals = [part for part in parts if part[0].isupper()]
    content = [part for part in parts if fold(part) not in FUNCTION_WORDS] or parts
    if not capitals or any(not part[0].isupper() for part in content):
        return NOTHING
    if before.endswith(("-", "‑")) and before[:-1].strip():
        return NOTHING  # part of a compound: Carry-On, Add-On
    if written.isupper() and len(written) > 2 and not _shouting(text):
        return STRONG
    function = len(parts) == 1 and fold(parts[0]) in FUNCTION_WORDS
    if card and not before.strip() and not function:
        return STRONG  # a product card begins with its maker
    opens = _OPENERS.search(before) is not None
    titled = _titled(text)
    if not titled and len(content) > 1:
        return STRONG  # two capitals in a sentence: the second cannot be the sentence's own
    if not opens and not titled:
        joined = re.search(r"\w\W+[A-Z][\w'’]*[ \u00a0]$", before) is not None
        following = _WORD.match(after.lstrip())
        if joined and len(parts) == 1:
            return WEAK  # the end of another name: Galaxy Ring, Pro Max
        named = any(_namelike(word) for word in _WORD.findall(after)[:3])
        if function and following is not None and after.startswith(" ") and not named:
            return WEAK
        return STRONG
    if opens and not function and _AND_ANOTHER.match(after):
        return STRONG
    if not function and _MAKER.search(before):
        return STRONG
    if opens and not function and _THIRD_PERSON.match(after):
        return STRONG
    if opens and re.match(r"^['’]s\b", after) and not function:
        return STRONG
    if re.search(r"[/|,&+]\s*$", before) and heads.elsewhere(hit.name):
        return STRONG  # one of several names in a row: Tubi / Pluto TV / Crackle
    if heads.chosen(hit.name, text[start:]):
        if not function or not after.strip(" :–—-,.") or after.lstrip().startswith((":", "–", "—", "(")):
            return STRONG
        return STRONG if any(_namelike(word) for word in _WORD.findall(after)[:3]) else WEAK
    return WEAK


def _unaligned(text: str, hit: Hit) -> int:
    """Evidence in a text that folding has made longer or shorter: only whether some use of it is capitalised."""
    pattern = r"[\s\-\u2010-\u2015]+".join(re.escape(part) for part in hit.spelling.split(" "))
    uses = [match.group() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)]
    capital = [use for use in uses if all(p[0].isupper() for p in _WORD.findall(use) if fold(p) not in FUNCTION_WORDS)]
    inside = [use for use in capital if not re.match(rf"^\W*{re.escape(use)}", text)]
    if inside and not _titled(text):
        return STRONG
    return WEAK if any(use[0].isupper() for use in capital) else NOTHING


def _namelike(word: str) -> bool:
    return any(char.isdigit() for char in word) or (word[0].isupper() and fold(word) not in COMMON_WORDS)


def _titled(text: str) -> bool:
    """Whether a text is written like a title, most of its longer words with a capital."""
    long = [word for word in _WORD.findall(text) if len(word) > 3 and word[0].isalpha()]
    return len(long) >= MIN_TITLE_WORDS and sum(word[0].isupper() for word in long) >= TITLE_SHARE * len(long)


def _shouting(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return bool(letters) and sum(char.isupper() for char in letters) > 0.5 * len(letters) and len(letters) > 12
