"""Speech acts that direct a machine, found by a small grammar over classes of words instead of a list of phrases.

An act is a verb of one class with its object of another in one sentence (`ignore … rules`, `send … records … to
https://…`), or a mark of structure (a forged role, a delimiter). Each is noted with its mood: said as a command, merely
mentioned between quotation marks, or negated. Source of the idea: Searle (1969), Speech acts (use against mention).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from liftos_pipelines.modules.llm.lexicon import spaced
from liftos_pipelines.modules.llm.screens.speech import CLASS_OF, FRAME

Tokens = list[tuple[str, int, int]]
Classes = list[frozenset[str]]
Present = dict[str, list[int]]
Note = Callable[[str, int, int], None]

_TOKEN = re.compile(r"https?://[^\s'\"<>)\]]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\.env\b|[^\W_]+(?:[_'-][^\W_]+)*|[^\w\s]|\n")
_END = frozenset(".!?;\n")
_QUOTES = re.compile(
    r"(?:(?<=^)|(?<=[\s(\[=,:#]))(?:'([^'\n]{3,200}?)'(?=$|[\s.,;:!?)\]#])|\"([^\"\n]{3,200}?)\"(?=$|[\s.,;:!?)\]#])"
    r"|`([^`\n]{3,200}?)`|\u201c([^\u201d\n]{3,200}?)\u201d|\u2018([^\u2019\n]{3,200}?)\u2019|«([^»\n]{3,200}?)»"
    r"|„([^“”\n]{3,200}?)[“”])|(?<=#)\"([^\"\n]{3,200}?)\"|(?<=\()\"([^\"\n]{3,200}?)\"(?=\))"
)
_FIELD = re.compile(r"[\"'][\w -]+[\"']\s*:\s*$")
_STRUCTURE = re.compile(
    r"<\|?/?(?:system|sys|instructions?|assistant|developer|admin|im_start|im_end|endoftext|data|context|document|"
    r"untrusted\w*|tool_?\w*|user_?\w*)\|?>"
    r"|\[/?(?:inst|system|admin|developer|/?sys)\]|<<\s*/?sys\s*>>"
    r"|(?:^|[\n\]>\"'.:;,)|}*#-])\s*#*\s*(?:systeme?|sistema|developer|admin|administrator|root|sysadmin)"
    r"(?: (?:message|prompt|note|override|update|instruction|instructions|notice|alert))?\s*(?::|>>|=>|\])"
    r"|#{2,}\s*(?:new |updated )?(?:system|instructions?|admin|developer)"
    r"|(?:---+|===+|\*\*\*+|begin|end|start)\s*(?:of |the )*(?:system|user|data|context|document|instructions?|"
    r"untrusted|trusted|input|prompt|tool|quoted)\b"
    r"(?: (?:data|input|content|block|section|prompt|message|instructions?|output))?"
    r"|<!--\s*(?:ai|assistant|llm|system|model|agent)\b|\"role\"\s*:\s*\"(?:system|developer)\""
)
_CARRIER = re.compile(
    r"!\[[^\]]*\]\(https?://[^)\s]*[?&]\w+=[^)\s]{24,}\)"
    r"|https?://\S*[?&/=](?:\{|<|\[)\w+|https?://\S*[?&]\w+=(?=$|[\s'\"`])|@\S*(?:evil|attack|hack|malicious)"
    r"|https?://\S*[?&]\w+=(?:\{|<|\[|\$|%7b|sys|canary|secret|token|data|base64|prompt|key|conversation|history)"
    r"|https?://\S*(?:evil|attack|exfil|steal|malicious|webhook\.site|requestbin|ngrok|pipedream|burpcollab|\.invalid)"
)
_SHELL = re.compile(
    r"\brm -rf\b|\bdrop (?:table|database)\b|\b(?:curl|wget)\b[^\n]*(?:\||https?://)|\bsudo \w|\bos\.system\b"
    r"|/etc/(?:passwd|shadow)|\bchmod 777\b|\bpowershell\b|\beval\(|~/\.ssh|\.aws/credentials|\bid_rsa\b|\bprintenv\b"
)
_NEW_TASK = re.compile(
    r"\b(?:new|updated|real|actual|revised|true|important|urgent|additional|special|nouvelles?|neue|nuevas?|nuove|"
    r"novas?)\s(?:system |hidden |secret )?(?:instructions?|task|objective|goal|directive|orders?|rules?|consignes?|"
    r"anweisung(?:en)?|instrucciones|istruzioni|instrucoes)\b|\byou are now\b|\bfrom now on,? you\b"
    r"|\bstop what you(?:'re| are) doing\b|\binstead,? (?:just )?(?:write|say|do|reply|respond|output|answer)\b"
    r"|\byour (?:new|real|true) (?:role|task|goal|purpose|instructions?)\b|\bdu bist (?:jetzt|nun)\b"
    r"|\bvous etes (?:maintenant|desormais)\b|\bahora eres\b|\bora sei\b"
)
_CLAIM = re.compile(
    r"\b(?:i am|i'm|this is|we are|message from|on behalf of|signed by|sent by|per) (?:the |your |an? )?"
    r"(?:authori[sz]ed )?(?:system |security |platform |chief |it )?(?:developer|administrator|admin|openai|anthropic|"
    r"creator|ceo|owner|root|security team|operations team|compliance|supervisor)\b"
    r"|\b(?:authori[sz]ation|clearance|override) (?:code|level|token|key)\b"
    r"|\b(?:i have|you have|with) (?:full |special )?(?:authori[sz]ation|clearance)\b"
    r"|\bemergency (?:override|protocol|access)\b"
)
_JOINED = re.compile(
    r"\b(?:(api) (keys?)|(environment|env) (?:variables|vars)|(private|access|signing) key|(connection) string|"
    r"(context) window|(secret|encryption) key)\b"
)
_OTHERS = re.compile(
    r"\b(?:another|other|someone else's) (?:user|customer|client|account)s?(?:'s|')?\b"
    r"|\b(?:un )?autres? (?:client|utilisateur|compte|locataire)s?\b|\botr[oa] (?:cliente|usuario|cuenta)\b"
    r"|\banderen (?:kunden|benutzers?|mandanten)\b|\baltro (?:cliente|utente)\b"
)

GAP = 7
"""Words between a verb and its object."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One act: its name, the words, and its mood (`command`, `said` without being a command, or `quoted`)."""

    name: str
    text: str
    mood: str


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a text does: its acts, how many words speak about wordings, how many kinds of risk one sentence joins."""

    acts: tuple[Act, ...]
    frame: int
    dense: int


# (name, class of the verb, class of the object, words between, class that must also stand in the sentence)
_PATTERNS: tuple[tuple[str, str, str, int, str], ...] = (
    ("override", "override", "rules", GAP, ""),
    ("override", "override", "soft_rules", GAP, "mine"),
    ("override_prior", "override", "prior", 4, ""),
    ("void", "rules", "voided", 6, ""),
    ("leak_prompt", "reveal", "whole_prompt", GAP, ""),
    ("leak_prompt", "send", "whole_prompt", GAP, ""),
    ("leak_secret", "reveal", "secret", GAP, ""),
    ("leak_secret", "send", "secret", GAP, ""),
    ("exfiltrate", "send", "data", GAP, "place|outside"),
    ("exfiltrate", "send", "secret", GAP, "place|outside"),
    ("send_out", "send", "place", 9, ""),
    ("call_tool", "call", "danger", 4, ""),
    ("call_tool", "call", "secret", 4, ""),
    ("call_tool", "call", "destroy", 3, ""),
    ("call_tool", "call", "named", 4, "checked"),
    ("destroy", "destroy", "data", 5, "whole"),
    ("destroy", "destroy", "guard", 5, ""),
    ("approve", "approve", "asked", 5, "whole"),
    ("approve", "approve", "tool", 5, "whole"),
    ("approve", "approve", "admin", 5, ""),
    ("allow_tool", "approve", "tool", 3, ""),
    ("privilege", "who", "chief", 4, ""),
    ("privilege", "raise", "admin", 4, "who|own"),
    ("unbound", "role", "unbound", 6, ""),
    ("disarm", "override", "guard", 5, ""),
    ("memorise", "keep", "memory", 8, ""),
    ("standing", "keep", "forever", 10, ""),
    ("treat_as", "treat", "trusted", 10, ""),
    ("outrank", "outrank", "rules", 6, ""),
    ("outrank", "outrank", "ours", 6, ""),
    ("obey_data", "obey", "rules", 6, ""),
    ("obey_user", "obey", "master", 3, ""),
    ("unchecked", "not", "checked", 3, ""),
    ("unchecked", "override", "checked", 4, ""),
    ("unchecked", "checked", "optional", 5, ""),
    ("conceal", "covert", "", 0, ""),
    ("conceal", "hide", "watcher", 6, ""),
    ("malign", "malign", "", 0, ""),
    ("leak_above", "reveal", "above", 5, ""),
    ("override_user", "override", "master", 3, ""),
    ("supplant", "supplant", "orders", 4, ""),
    ("cross", "reveal", "foreign", 6, ""),
    ("cross", "send", "foreign", 6, ""),
    ("cross", "call", "foreign", 6, ""),
    ("pay", "send", "money", 4, ""),
    ("address", "machine", "must", 2, ""),
)  # fmt: skip
_DECLARED = frozenset(("void", "outrank", "address", "privilege", "conceal"))
"""Acts that are done by stating them."""
_QUOTE_MARKS = frozenset("'\"`“‘«„")
_THEIRS = frozenset(("its", "their", "his", "her"))
_RISKY = spaced(
    "override rules secret outside covert unbound whole_prompt place danger memory forever machine destroy admin guard "
    "trusted"
)


_NAMED = {3: "environment_variables", 4: "private_key", 5: "connection_string", 6: "context_window", 7: "secret_key"}


def _joined(match: re.Match[str]) -> str:
    if match[1]:
        return f"api_{match[2]}"
    return next(name for group, name in _NAMED.items() if match[group])


def heard(text: str) -> Heard:
    """The acts of a folded text."""
    text = _OTHERS.sub("others_data", _JOINED.sub(_joined, text))
    tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
    spans = _quoted_spans(text)
    classes = [_classes(word) for word, _, _ in tokens]
    quoted = [any(a <= start < b for a, b in spans) for _, start, _ in tokens]
    # Letters run together or spaced out leave no punctuation to tell a command by.
    unpointed = len(tokens) >= 4 and all(word[0].isalnum() for word, _, _ in tokens)
    acts: dict[tuple[str, str], Act] = {}

    def note(name: str, first: int, last: int) -> None:
        orders = unpointed or name in _DECLARED or _commands(tokens, classes, first)
        mood = "quoted" if quoted[first] else "command" if orders else "said"
        acts.setdefault((name, mood), Act(name=name, text=text[tokens[first][1] : tokens[last][2]], mood=mood))

    dense = 0
    for begin, end in _sentences(tokens):
        present: dict[str, list[int]] = {}
        for i in range(begin, end):
            for name in classes[i]:
                present.setdefault(name, []).append(i)
        if not present:
            continue
        _pair_up(tokens, classes, present, note)
        _prompts(classes, present, begin, end, note)
        _unbinding(tokens, present, note)
        open_classes = {name for name, at in present.items() if any(not quoted[i] for i in at)}
        dense = max(dense, sum(name in open_classes for name in _RISKY))
    frame = sum(word in FRAME and not quoted[i] for i, (word, _, _) in enumerate(tokens))
    for name, pattern in (
        ("structure", _STRUCTURE), ("carrier", _CARRIER), ("shell", _SHELL), ("new_task", _NEW_TASK), ("claim", _CLAIM)
    ):  # fmt: skip
        for match in pattern.finditer(text):
            within = any(a <= match.start() < b for a, b in spans)
            # A command line stands between backticks when it is to be run, too; only talk about it makes it a mention.
            mood = "quoted" if within and (name != "shell" or frame) else "command"
            if name in ("new_task", "claim") and not _opens(text, match):
                mood = "said" if mood == "command" else mood
            acts.setdefault((name, mood), Act(name=name, text=match[0].strip(), mood=mood))
    return Heard(acts=tuple(acts.values()), frame=frame, dense=dense)


def _pair_up(tokens: Tokens, classes: Classes, present: Present, note: Note) -> None:
    for name, verb, thing, gap, beside in _PATTERNS:
        if verb not in present or (thing and thing not in present):
            continue
        if beside and not any(other in present for other in beside.split("|")):
            continue
        for i in present[verb]:
            if not thing:
                note(name, i, i)
                continue
            j = next((k for k in present[thing] if i < k <= i + gap + 1), None)
            if j is None or tokens[i][0] == tokens[j][0]:
                continue
            if verb != "not" and _negated(classes, i):
                if name == "obey_user":
                    note("override_user", _refusal_at(tokens, classes, i), j)
                if name == "obey_data":
                    between = range(i + 1, j + 1)
                    mine = any("your" in classes[k] for k in between)
                    mine = mine and not any(tokens[k][0] in _QUOTE_MARKS for k in between)
                    note("override" if mine else "disobey", _refusal_at(tokens, classes, i), j)
                continue
            if name == "unchecked" and any("not" in classes[k] for k in range(max(0, i - 8), i)):
                continue  # "must not … without approval" asks for the check
            if name == "obey_user":
                continue
            if verb == "checked" and not any(
                "not" in classes[k] or tokens[k][0] == "optional" for k in range(max(0, i - 2), j + 1)
            ):
                continue  # "approval is required" is the opposite
            if thing == "soft_rules" and not any("mine" in classes[k] for k in range(i + 1, j)):
                continue
            if name in ("treat_as", "address") and any("not" in classes[k] for k in range(i, min(j + 3, len(classes)))):
                continue
            if name in ("override", "leak_prompt") and tokens[j - 1][0] in _THEIRS:
                continue  # someone else's rules are spoken of
            if name == "override_prior" and not _stands_alone(tokens, classes, j):
                continue
            if "own" in classes[j - 1] and thing in ("secret", "data", "memory", "asked"):
                continue
            note(name, i, j)


def _refusal_at(tokens: Tokens, classes: Classes, verb: int) -> int:
    """Where `do not`, `never` or `stop` before a verb begins."""
    at = next(k for k in range(verb - 1, max(-1, verb - 4), -1) if "not" in classes[k])
    return at - 1 if at and tokens[at - 1][0] == "do" else at


_REMAINS = frozenset(spaced("text content messages conversation context and in you that said is"))


def _stands_alone(tokens: Tokens, classes: Classes, at: int) -> bool:
    """`the above.` and `all previous instructions`, but not `the earlier draft`."""
    after = tokens[at + 1][0] if at + 1 < len(tokens) else "."
    return (
        not after[0].isalpha()
        or after in _REMAINS
        or bool(classes[at + 1] & {"rules", "soft_rules", "prior", "polite"})
    )


def _prompts(classes: Classes, present: Present, begin: int, end: int, note: Note) -> None:
    """Reveal the *system prompt*, *hidden instructions*, *règles privées*: what is ours beside a prompt's name."""
    for j in present.get("prompt", ()):
        near = range(max(begin, j - 2), min(end, j + 3))
        yours = "own_prompt" in classes[j] and any("mine" in classes[k] for k in range(max(begin, j - 2), j))
        if not yours and not any("ours" in classes[k] for k in near if k != j):
            continue
        for i in (*present.get("reveal", ()), *present.get("send", ())):
            if 0 < j - i <= GAP + 2 and not _negated(classes, i):
                note("leak_prompt", i, j)
        if any("asker" in classes[k] for k in range(max(begin, j - 5), j)):
            note("ask_prompt", max(begin, j - 5), j)
    for i in present.get("not", ()):
        told = next((k for k in present.get("tell", ()) if 0 < k - i <= 2), None)
        if told is not None:
            whom = next((k for k in present.get("watcher", ()) if 0 < k - told <= 4), None)
            if whom is not None:
                note("conceal", i, whom)


def _unbinding(tokens: Tokens, present: Present, note: Note) -> None:
    for j in present.get("mode", ()):
        if j and tokens[j - 1][0] in _MODE_OF:
            begun = next((k for k in present.get("role", ()) if 0 < j - k <= 4), j - 1)
            note("unbound", begun, j)
    for i in (*present.get("not", ()), *present.get("override", ())):
        if tokens[i][0] in _WITHOUT:
            rule = next((k for k in present.get("rules", ()) if 0 < k - i <= 3), None)
            if rule is not None:
                note("unbound", i, rule)
    for j in present.get("unbound", ()):
        note("unbound", j, j)


_WITHOUT = frozenset(spaced("no without sans ohne sin senza sem zonder remove lift disable"))
_MODE_OF = frozenset(word for word, names in CLASS_OF.items() if "mode_of" in names)
_NONE: frozenset[str] = frozenset()


def _classes(word: str) -> frozenset[str]:
    found = CLASS_OF.get(word)
    if found is not None:
        return found
    if word.startswith("http") or "@" in word[1:]:
        return frozenset({"place"})
    if "_" in word:
        parts: set[str] = set()
        for part in word.split("_"):
            parts |= CLASS_OF.get(part, _NONE)
        risky = parts & {"destroy", "secret", "approve", "admin", "money"} or "export" in word or "transfer" in word
        return frozenset(parts & {"secret", "whole_prompt"} | ({"danger", "named"} if risky else {"named"}))
    if word.startswith("l'") or word.startswith("d'"):
        return CLASS_OF.get(word[2:], _NONE)
    if "-" in word:
        joined = _NONE.union(*(CLASS_OF.get(part, _NONE) for part in word.split("-")))
        return joined & {"secret", "rules", "prompt"}
    return _NONE


def _negated(classes: Classes, verb: int) -> bool:
    return any("not" in classes[k] for k in range(max(0, verb - 3), verb))


def _commands(tokens: Tokens, classes: Classes, verb: int) -> bool:
    """Whether a verb stands where an order would: first in its clause, or after `please`, `then`, `must`, a comma."""
    if verb == 0:
        return True
    before = tokens[verb - 1][0]
    return not before[0].isalnum() or bool(classes[verb - 1] & {"polite", "must"})


def _opens(text: str, match: re.Match[str]) -> bool:
    """Whether a phrase opens a clause or is followed by a colon, as an announcement would be."""
    before = text[: match.start()].rstrip(" ")
    return not before or not before[-1].isalnum() or text[match.end() : match.end() + 2].strip().startswith(":")


def _quoted_spans(text: str) -> list[tuple[int, int]]:
    spans = []
    for match in _QUOTES.finditer(text):
        # A field's value is content, not a mention; neither is a text that is nothing but a quotation.
        field = _FIELD.search(text[max(0, match.start() - 40) : match.start()])
        if field or match.end() - match.start() > 0.8 * len(text):
            continue
        spans.append((match.start(), match.end()))
    return spans


def _sentences(tokens: Tokens) -> list[tuple[int, int]]:
    bounds, begin = [], 0
    for i, (word, _, _) in enumerate(tokens):
        if word in _END:
            if i > begin:
                bounds.append((begin, i))
            begin = i + 1
    if begin < len(tokens):
        bounds.append((begin, len(tokens)))
    return bounds
