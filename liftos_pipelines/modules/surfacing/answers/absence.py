"""Sentences that name a brand only to say it is not there: these are not mentions.

Cues in English, German, French, Spanish, Italian, Portuguese, Arabic and romanised Hindi, on folded text. A cue counts
within the clause of the name only: "I could not find Globex, but Acme is strong" leaves Acme mentioned.
"""

from __future__ import annotations

import re

REACH = 400
"""Characters on either side of a name that may deny it."""
_CLAUSE = re.compile(
    r"[;:]|\s[–—-]\s|,?\s(?:but|however|although|though|whereas|while|instead|yet|because|aber|jedoch|sondern|weil|mais"
    r"|cependant|parce que|pero|sino|aunque|porque|ma|invece|perche|mas|porem|lekin|magar|لكن|ولكن)\s"
    r"|,\s(?:so|and|und|et|y|e)\s"
)
# "Although I could not find prices, Acme leads", "If you see no results, try Acme": the first clause ends at its comma.
_SUBORDINATE = re.compile(
    r"^\W*(?:although|though|while|even (?:if|though)|if|when|whenever|unless|unlike|obwohl|wenn|falls|wer|bien que|si"
    r"|quand|aunque|cuando|quien|sebbene|se|quando|chi|embora|quem|agar)\b[^,]*,"
)
_NOT = r"(?:n't|n’t| not|not|nt)"
_WORDS = r"(?:\w+ )"
_LISTS = r"(?:lists?|guides?|sources?|articles?|reviews?|results?|rankings?|tests?|reports?|comparisons?|posts?|pages?)"
_BEFORE = re.compile(
    "|".join(
        (
            # English
            rf"\b(?:can't|(?:could|can|did|was|were|am|are|is|do|does) ?{_NOT})(?: able to| seem to| \w+ly)?"
            r" (?:find|locate|identify|see|verify|confirm|recogni[sz]e|retrieve|spot)\b",
            r"\b(?:unable|failed) to (?:find|locate|identify|verify|confirm|retrieve)\b",
            rf"\b(?:no|without any|without|lack of|lacks) {_WORDS}{{0,3}}?(?:information|mentions?|records?|results?"
            r"|data|details|evidence|references?|listings?|matches for|coverage|trace|knowledge)\b",
            r"\bno (?:\w+ )?(?:brand|company|product|service|store|retailer|provider|tool)s?"
            r" (?:called|named|by the name)",
            rf"\b(?:do|does|is|are)(?:{_NOT}) (?:seem|appear) to (?:be|exist) {_WORDS}{{0,3}}?"
            r"(?:called|named|by the name)",
            rf"\b(?:do|does|did|am|are|is) ?{_NOT} {_WORDS}{{0,2}}?"
            r"(?:have|aware of|familiar with|know of|mention|list|include)\b",
            rf"\b{_LISTS} {_WORDS}{{0,3}}?(?:do|does|did) ?{_NOT} (?:\w+ )?(?:cover|name|feature|discuss|rank|show)\b",
            rf"\b(?:neither|none|no) (?:of )?{_WORDS}{{1,4}}?(?:names?|mentions?|includes?|covers?|cites?)\b",
            r"\bcame up empty\b",
            r"\b(?:leaves?|left) out\b|\bomit(?:s|ted)?\b",
            r"\b(?:unfamiliar with|not (?:\w+ )?(?:familiar with|aware of))\b",
            r"\b(?:nothing|none) (?:about|on|regarding|of)\b",
            # German
            rf"\bkeine?[nrs]? {_WORDS}{{0,2}}?"
            r"(?:information(?:en)?|angaben|hinweise?|ergebnisse?|erwahnung(?:en)?|daten|treffer)\b",
            r"\bkeine[rs]? (?:der|dieser|meiner) \w+ (?:nennt|nennen|erwahn\w+|listet|fuhrt|enthalt)\b",
            r"\bnichts (?:uber|zu|von)\b",
            # French
            rf"\b(?:pas|rien|aucune?) {_WORDS}{{0,2}}?(?:trouve|trouver|information|mention|resultat|donnee|trace)\w*",
            rf"\bne connai\w+ (?:pas|aucune?) {_WORDS}{{0,3}}?(?:appele|nomme|du nom)\w*",
            r"\bne (?:parl|mention|cit)\w+ pas\b",
            # Spanish
            r"\bno se (?:mencion|cit|encuentr|incluy|nombr)\w+",
            rf"\bno {_WORDS}{{0,2}}?(?:encontre|encontrado|encontrar|encuentro)\b",
            r"\b(?:ningun|ninguna|no (?:hay|tengo|dispongo de)) (?:\w+ )?"
            r"(?:informacion|constancia|mencion|resultado|dato)\w*",
            rf"\bningun[oa]? {_WORDS}{{1,4}}?(?:mencion|cit|incluy|nombr|recog)\w+",
            rf"\bno cono\w+ {_WORDS}{{0,3}}?(?:llamad[oa]|con el nombre)",
            # Italian
            rf"\bnon {_WORDS}{{0,2}}?(?:trovato|trovo|trovare)\b",
            r"\bnessun[ao]? (?:informazion|menzion|risultat|dat)\w*",
            rf"\bnessun[ao]? {_WORDS}{{1,3}}?(?:cit|menzion|elenc|nomin|includ)\w+",
            rf"\bnon conosc\w+ {_WORDS}{{0,3}}?chiamat[oa]",
            # Portuguese
            rf"\bnao {_WORDS}{{0,2}}?(?:encontrei|encontrar|encontrado|achei)\b",
            r"\b(?:nenhum|nenhuma|nao (?:ha|tenho)) (?:informac|menc|resultado|dado)\w*",
            rf"\bnenhuma? {_WORDS}{{1,3}}?(?:mencion|cit|inclu|list)\w+",
            rf"\bnao conhec\w+ {_WORDS}{{0,3}}?chamad[oa]",
            # Arabic
            r"(?<!\w)(?:لم (?:اجد|اعثر|نجد|نعثر)|لا (?:توجد|يوجد) (?:\w+ )?(?:معلومات|نتائج|ذكر)"
            r"|لم يتم ذكر|لم (?:يظهر|يذكر|يرد) (?:اسم|ذكر)|لا اعرف)(?!\w)",
        )
    )
)
_AFTER = re.compile(
    # No comma before the verb, but around an adverb: in "Acme is in, Globex is not listed" another is missing.
    r"^(?:'s|s')?(?:,\s\w+,)?(?:[^\w,]+\w+){0,4}?[^\w,]+(?:"
    + "|".join(
        (
            rf"(?:is|was|are|were|has|have|being) ?{_NOT} (?:been )?{_WORDS}{{0,2}}?(?:listed|mentioned"
            r"|included|among|named|recogni[sz]ed|referenced|covered|one of)\b",
            rf"(?:is|was|are|were|has|have|being) ?{_NOT} (?:been )?{_WORDS}{{0,2}}?(?:found|present|featured|known|in)"
            rf"(?:\W*$|(?: (?:in|on|by|among))? {_WORDS}{{0,3}}?{_LISTS})",
            rf"(?:does|did|do) ?{_NOT} {_WORDS}{{0,2}}?(?:appear|show up|come up|exist|turn up)\b",
            rf"(?:does|did|do) ?{_NOT} (?:feature|rank)(?: (?:in|on|among|anywhere|at all)\b|\W*$)",
            rf"(?:does|did|do) ?{_NOT} make (?:it (?:on|in|into)|any|the|my) {_WORDS}{{0,4}}?(?:{_LISTS}|cut)\b",
            rf"(?:could|can) ?{_NOT} be (?:\w+ )?(?:found|located|identified|verified|confirmed)\b",
            r"(?:is|was|were|are) (?:\w+ )?(?:absent|missing from|unknown to|nowhere)\b",
            rf"(?:has|have) ?{_NOT} been (?:reviewed|tested|covered|ranked|rated) by any\b",
            r"(?:returned|yielded|gave|produced) no\b",
            # German
            r"(?:wird|wurde|ist|kommt|taucht|erscheint|findet)(?: \w+){0,4} nicht(?: \w+){0,3}?"
            r" (?:erwahnt|gefunden|genannt|aufgefuhrt|gelistet|bekannt|enthalten|vertreten|vor|auf)\b",
            r"fehl(?:t|te|en) (?:in|auf|bei)\b",
            r"(?:kommt|taucht|erscheint) (?:\w+ ){0,4}?nicht\b",
            r"nicht bekannt\W*$",
            r"nicht (?:\w+ ){0,2}?(?:gefunden|finden|gelistet|erwahnt)\b",
            rf"(?:liegen|liegt|gibt|habe|hatte|konnte|fand|finden?|wurden?) {_WORDS}{{0,3}}?(?:keine?[nrs]?|nichts)"
            rf" {_WORDS}{{0,3}}?(?:angaben|information(?:en)?|hinweise|ergebnisse|treffer|daten|finden|gefunden|vor)\b",
            rf"keine?[nrs]? {_WORDS}{{0,2}}?(?:angaben|information(?:en)?|hinweise|ergebnisse|treffer|daten)\b",
            rf"(?:in|von) keine[rnm]? {_WORDS}{{0,3}}?(?:finden|gefunden|erwahnt|genannt|aufgefuhrt|auf|vor)\b",
            # French
            r"(?:n'est|n'etait|n'a|n'ont)(?: \w+)? (?:pas|aucun\w*) (?:\w+ ){0,2}?(?:mentionn|list|cit|trouv|referenc"
            r"|inclu|present|repertori|connu|parmi|dans)\w*|n'apparai\w+|ne figur\w+|ne fait pas partie",
            r"(?:est|etait) absente? de",
            # Spanish
            r"(?:no esta en (?:la|las|ninguna) (?:list|clasific|guia)\w+|esta ausente de)",
            r"no (?:aparece|figura|esta inclui\w+|esta entre|se menciona|se encuentra|consta)\b",
            # Italian
            r"non (?:compare|figura|appare|(?:e|viene|vengono) (?:mai )?(?:stat[oa] )?(?:menzionat|citat|elencat|inclus"
            r"|presente|trovat)\w*)",
            r"e assente da\w*",
            # Portuguese
            r"esta ausente d\w+",
            r"nao (?:aparece|figura|consta|(?:e|foi|esta) (?:mencionad|listad|incluid|encontrad|entre)\w*)",
            # Arabic
            r"(?:غير (?:مذكور|مدرج|موجود)\w*|لم (?:يذكر|تذكر|يرد|ترد|يظهر|تظهر))",
            # Hindi in Latin script
            r"koi (?:jaa?nkari|zikr|ullekh|result|info\w*|mention)(?: \w+)? (?:nahin?|nhi)\b",
            r"(?:list|soochi|results?|ranking)(?: \w+)? me(?:in|n)? (?:nahin?|nhi)\b",
        )
    )
    + ")"
)
# "could not find a better option than Acme" and "nothing wrong with Acme" praise what they name.
_COMPARISON = re.compile(
    r"\b(?:better|cheaper|faster|best|more|fault|wrong|flaw|complaint|negative|equal|match for|alternative|issue"
    r"|problem|reason|besser|fehler|mangel|kritik|beschwerd|nachteil|mieux|meilleur|defaut|plainte|reproche|mejor|queja|defecto"
    r"|critica|fallo|migliore|difett|lament|melhor|reclama|defeito|behtar)\w*|(?<!\w)(?:افضل|احسن|عيب|شكاوى)"
)


def states_absence(folded: str, start: int, end: int) -> bool:
    """Whether the clause around a name says that the name was not found, listed or known.

    Parameters
    ----------
    folded : a folded sentence (`liftos_pipelines.text.fold`)
    start, end : offsets of the name in it
    """
    before = folded[max(0, start - REACH) : start]
    opening = _SUBORDINATE.match(before)
    clause = max([opening.end() if opening else 0, *(match.end() for match in _CLAUSE.finditer(before))])
    before = before[clause:]
    cue = next(reversed(list(_BEFORE.finditer(before))), None)
    if cue is not None and not _COMPARISON.search(before[cue.start() :]):
        return True
    after = folded[end : end + REACH]
    boundary = _CLAUSE.search(after)
    if boundary is not None:
        after = after[: boundary.start()]
    stated = _AFTER.match(after)
    return stated is not None and not _COMPARISON.search(stated.group())
