"""Sentences that name a brand only to say it is not there: these are not mentions.

Cues in English, German, French, Spanish, Italian and Portuguese, on folded text. A cue counts within the
clause of the name only: "I could not find Globex, but Acme is strong" leaves Acme mentioned.
"""

from __future__ import annotations

import re

_CLAUSE = re.compile(
    r"[;:]|\s[–—-]\s|,?\s(?:but|however|although|though|whereas|while|instead|yet|aber|jedoch|sondern|mais|cependant"
    r"|pero|sino|aunque|ma|pero|invece|mas|porem)\s|,\s(?:so|and|und|et|y|e)\s"
)
# "Although I could not find prices, Acme leads": the subordinate clause ends at its comma.
_SUBORDINATE = re.compile(
    r"^\W*(?:although|though|while|even (?:if|though)|obwohl|bien que|aunque|sebbene|embora)\b[^,]*,"
)
_NOT = r"(?:n't|n’t| not|not|nt)"
_BEFORE = re.compile(
    "|".join(
        (
            # English
            rf"\b(?:could|can|did|was|were|am|are|is|do|does) ?{_NOT}(?: able to| \w+ly)?"
            r" (?:find|locate|identify|see|verify|confirm|recogni[sz]e|retrieve|spot)\b",
            r"\b(?:unable|failed) to (?:find|locate|identify|verify|confirm|retrieve)\b",
            r"\b(?:no|without any|without|lack of|lacks) (?:\w+ ){0,3}?(?:information|mentions?|records?|results?"
            r"|data|details|evidence|references?|listings?|matches|coverage|trace)\b",
            r"\bno (?:\w+ )?(?:brand|company|product|service|store|retailer|provider|tool)s?"
            r" (?:called|named|by the name)",
            rf"\b(?:do|does|did|am|are|is) ?{_NOT} (?:\w+ ){{0,2}}?"
            r"(?:have|aware of|familiar with|know of|mention|list|include)\b",
            r"\b(?:unfamiliar with|not (?:\w+ )?(?:familiar with|aware of))\b",
            r"\b(?:nothing|none) (?:about|on|regarding|of)\b",
            # German
            r"\bkeine?[nrs]? (?:\w+ ){0,2}?"
            r"(?:information(?:en)?|angaben|hinweise?|ergebnisse?|erwahnung(?:en)?|daten|treffer)\b",
            r"\bnichts (?:uber|zu|von)\b",
            # French
            r"\b(?:pas|rien|aucune?) (?:\w+ ){0,2}?(?:trouve|trouver|information|mention|resultat|donnee|trace)\w*",
            # Spanish
            r"\bno (?:\w+ ){0,2}?(?:encontre|encontrado|encontrar|encuentro)\b",
            r"\b(?:ningun|ninguna|no (?:hay|tengo|dispongo de)) (?:\w+ )?(?:informacion|mencion|resultado|dato)\w*",
            # Italian
            r"\bnon (?:\w+ ){0,2}?(?:trovato|trovo|trovare)\b",
            r"\bnessun[ao]? (?:informazion|menzion|risultat|dat)\w*",
            # Portuguese
            r"\bnao (?:\w+ ){0,2}?(?:encontrei|encontrar|encontrado|achei)\b",
            r"\b(?:nenhum|nenhuma|nao (?:ha|tenho)) (?:informac|menc|resultado|dado)\w*",
        )
    )
)
_AFTER = re.compile(
    r"^(?:'s|s')?(?:\W+\w+){0,4}?\W+(?:"
    + "|".join(
        (
            rf"(?:is|was|are|were|has|have|being) ?{_NOT} (?:been )?(?:\w+ ){{0,2}}?(?:found|listed|mentioned"
            r"|included|among|present|named|featured|recogni[sz]ed|referenced|covered|known|in the|one of)\b",
            rf"(?:does|did|do) ?{_NOT} (?:\w+ ){{0,2}}?(?:appear|show up|come up|feature|exist|turn up|rank)\b",
            rf"(?:could|can) ?{_NOT} be (?:\w+ )?(?:found|located|identified|verified|confirmed)\b",
            r"(?:is|was|were|are) (?:\w+ )?(?:absent|missing from|unknown to)\b",
            r"(?:returned|yielded|gave|produced) no\b",
            # German
            r"(?:wird|wurde|ist|kommt|taucht|erscheint|findet)(?: \w+){0,4} nicht(?: \w+){0,3}?"
            r" (?:erwahnt|gefunden|genannt|aufgefuhrt|gelistet|bekannt|enthalten|vertreten|vor|auf)\b",
            r"(?:kommt|taucht|erscheint) (?:\w+ ){0,4}?nicht\b",
            r"nicht (?:\w+ ){0,2}?(?:gefunden|finden|gelistet|erwahnt)\b",
            # French
            r"(?:n'est|n'a|n'apparait|ne figure|n'etait|ne fait)(?: \w+)? (?:pas|aucun\w*)\b",
            # Spanish
            r"no (?:aparece|figura|esta inclui\w+|esta entre|se menciona|se encuentra|consta)\b",
            # Italian
            r"non (?:compare|figura|appare|e (?:stat[oa] )?(?:menzionat|elencat|inclus|presente|trovat)\w*)",
            # Portuguese
            r"nao (?:aparece|figura|consta|(?:e|foi|esta) (?:mencionad|listad|incluid|encontrad|entre)\w*)",
        )
    )
    + ")"
)
# "could not find a better option than Acme" and "nothing wrong with Acme" praise what they name.
_COMPARISON = re.compile(
    r"\b(?:better|cheaper|faster|best|more|fault|wrong|flaw|complaint|negative|equal|match for|alternative"
    r"|besser|mieux|meilleur|mejor|migliore|melhor)\w*"
)


def states_absence(folded: str, start: int, end: int) -> bool:
    """Whether the clause around a name says that the name was not found, listed or known.

    Parameters
    ----------
    folded : a folded sentence (`liftos_pipelines.text.fold`)
    start, end : offsets of the name in it
    """
    before = folded[:start]
    opening = _SUBORDINATE.match(before)
    clause = max([opening.end() if opening else 0, *(match.end() for match in _CLAUSE.finditer(before))])
    before = before[clause:]
    cue = next(reversed(list(_BEFORE.finditer(before))), None)
    if cue is not None and not _COMPARISON.search(before[cue.start() :]):
        return True
    after = folded[end:]
    boundary = _CLAUSE.search(after)
    if boundary is not None:
        after = after[: boundary.start()]
    return _AFTER.match(after) is not None
