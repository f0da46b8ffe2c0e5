"""Sentences that name Acme only to say that it is not there, and those that only sound like it."""

from __future__ import annotations

import pytest

from liftos_pipelines.modules.surfacing.answers.absence import states_absence
from liftos_pipelines.text import fold

ABSENT = {
    "mixed": [
        "There were no search results mentioning Acme.",
        "I wasn't able to find reviews of Acme.",
        "Acme did not make any of the lists I reviewed.",
        "I have no knowledge of a company called Acme.",
        "Acme could not be verified as a real brand.",
        "My sources say nothing about Acme.",
        "Leider konnte ich zu Acme keine verlässlichen Daten finden.",
        "Acme wird von keiner Quelle erwähnt.",
        "Les sources consultées ne parlent pas d'Acme.",
        "Je n'ai aucune information concernant Acme.",
        "No se menciona a Acme en los resultados.",
        "No he podido encontrar datos de Acme.",
        "Acme non viene menzionata in nessuna recensione.",
        "Não há menção à Acme nos resultados.",
        "A marca Acme não consta nas fontes.",
        "لم يظهر اسم Acme في النتائج.",
        "Acme was nowhere to be found in the roundups.",
        "I came up empty when searching for Acme.",
        "There's no listing for Acme in the directory.",
        "I can't seem to find Acme in any buying guide.",
        "Acme hasn't been reviewed by any of the outlets.",
        "It looks like Acme isn't mentioned at all.",
        "I do not recognize the brand Acme.",
        "Mir ist Acme nicht bekannt.",
        "Acme fehlt in allen Listen.",
        "Acme est absente des comparatifs.",
        "Je n'ai rien trouvé au sujet d'Acme.",
        "Acme no está en la lista.",
        "No tengo constancia de Acme.",
        "Acme è assente dalle classifiche.",
        "Não tenho informações sobre a Acme.",
        "A Acme está ausente dos rankings.",
    ],
    "en": [
        "I could not find any information about Acme in the sources.",
        "I couldn't find Acme, but Globex is widely sold.",
        "Unfortunately, there is no mention of Acme in these reviews.",
        "Acme is not listed among the leading makers.",
        "Acme does not appear in any of the rankings.",
        "I'm not familiar with a brand called Acme.",
        "I don't have any information on Acme.",
        "My search for Acme returned no results.",
        "I was unable to locate a product by Acme.",
        "No results were found for Acme.",
        "There doesn't seem to be a company named Acme.",
        "Acme was not mentioned in the articles I reviewed.",
        "As of my last update, I have no record of Acme.",
        "None of the sources mention Acme.",
        "None of these lists include Acme.",
        "I found nothing about Acme.",
        "Acme isn't among the brands tested this year.",
        "Acme is missing from every list I checked.",
        "The guides do not cover Acme.",
        "There is little to no information available about Acme.",
        "Acme doesn't come up in any recent comparison.",
        "I cannot verify that Acme exists.",
        "Neither review names Acme.",
        "The list leaves out Acme entirely.",
    ],
    "de": [
        "Ich habe keine Informationen zu Acme gefunden.",
        "Acme wird in den Tests nicht erwähnt.",
        "Zu Acme liegen mir keine Angaben vor.",
        "Über Acme konnte ich nichts finden.",
        "Ich konnte Acme in keiner der Listen finden.",
        "Acme taucht in den Ranglisten nicht auf.",
        "Eine Marke namens Acme ist mir nicht bekannt.",
        "Keine der Quellen nennt Acme.",
    ],
    "fr": [
        "Je n'ai pas trouvé d'informations sur Acme.",
        "Acme n'apparaît pas dans les classements.",
        "Aucune source ne mentionne Acme.",
        "Acme ne figure dans aucune des listes.",
        "Je ne connais pas de marque appelée Acme.",
        "Il n'y a aucune information sur Acme.",
    ],
    "es": [
        "No encontré información sobre Acme.",
        "Acme no aparece en las listas.",
        "No hay información disponible sobre Acme.",
        "Ninguna de las fuentes menciona a Acme.",
        "No conozco ninguna marca llamada Acme.",
        "Acme no figura entre las marcas probadas.",
    ],
    "it": [
        "Non ho trovato informazioni su Acme.",
        "Acme non compare nelle classifiche.",
        "Nessuna delle fonti cita Acme.",
        "Non conosco un marchio chiamato Acme.",
        "Acme non è presente in nessuna lista.",
    ],
    "pt": [
        "Não encontrei informações sobre a Acme.",
        "A Acme não aparece nas listas.",
        "Nenhuma das fontes menciona a Acme.",
        "Não conheço nenhuma marca chamada Acme.",
        "A Acme não foi mencionada nos testes.",
    ],
    "ar": ["لم أجد أي معلومات عن Acme.", "لا توجد معلومات عن Acme.", "Acme غير مذكورة في القوائم.", "لم يتم ذكر Acme."],
    "hi": [
        "Mujhe Acme ke baare mein koi jankari nahi mili.",
        "Acme list mein nahi hai.",
        "Acme ka koi zikr nahi hai.",
    ],
}
PRESENT = {
    "mixed": [
        "I can't find fault with Acme.",
        "No brand is more trusted than Acme.",
        "Acme is not found in supermarkets.",
        "There are no known recalls of Acme.",
        "Acme doesn't rank first for nothing.",
        "Acme is included, Globex is not mentioned.",
        "I would not buy anything but Acme.",
        "Ohne Acme geht es nicht.",
        "Acme ist kein Geheimtipp mehr.",
        "Acme n'a pas son pareil.",
        "No me canso de recomendar Acme.",
        "Acme no tiene rival.",
        "Non posso che consigliare Acme.",
        "Não dá para errar com a Acme.",
        "Acme does not feature noise cancelling.",
        "Not everyone has heard of Acme, but its pans are superb.",
        "I can't find any reason not to buy Acme.",
        "You won't find Acme in discount stores.",
        "Acme isn't the best-known name, but it is the best value.",
        "Reviews never mention problems with Acme.",
        "There is no shortage of praise for Acme.",
        "Few brands are mentioned as often as Acme.",
        "Acme does not need batteries.",
        "I didn't expect Acme to win.",
        "Kein Test kommt an Acme vorbei.",
        "Acme ist nicht ohne Grund beliebt.",
        "Acme n'a rien à envier aux autres.",
        "On ne présente plus Acme.",
        "No es raro ver a Acme en lo más alto.",
        "Acme nunca falla.",
        "Acme non delude mai.",
        "A Acme não decepciona.",
    ],
    "en": [
        "I could not find a better option than Acme.",
        "You cannot find a better shoe than Acme.",
        "I found nothing wrong with Acme.",
        "Acme is not available in Norway.",
        "Acme does not include batteries.",
        "There is no reason to avoid Acme.",
        "No list is complete without Acme.",
        "Although I could not find prices, Acme is a solid choice.",
        "I could not find any complaints about Acme.",
        "Nothing beats Acme for trail running.",
        "No other brand matches Acme on price.",
        "Acme is not the cheapest, but it lasts.",
        "Acme isn't just for beginners.",
        "You can't go wrong with Acme.",
        "Acme does not list its prices online.",
        "Don't overlook Acme.",
        "I have no hesitation in recommending Acme.",
        "Unlike Globex, which is not listed, Acme made every list.",
        "If you do not find your size, try Acme.",
        "Acme has no equal in this class.",
        "Not only Globex but also Acme made the list.",
        "There is no better-known name than Acme.",
        "I did not include Globex because Acme does the same for less.",
        "Without Acme, the list would be incomplete.",
    ],
    "de": [
        "Acme ist nicht billig, aber gut.",
        "Nichts geht über Acme.",
        "Es gibt keine bessere Wahl als Acme.",
        "Mit Acme kann man nichts falsch machen.",
        "Acme ist nicht nur für Anfänger geeignet.",
        "Wer keine Ergebnisse sieht, sollte Acme wählen.",
    ],
    "fr": [
        "Acme n'est pas le moins cher, mais il dure.",
        "Il n'y a pas de meilleur choix qu'Acme.",
        "Rien ne vaut Acme.",
        "Je n'ai trouvé aucun défaut à Acme.",
        "Acme n'est pas réservé aux débutants.",
    ],
    "es": [
        "Acme no es la más barata, pero dura.",
        "No hay mejor opción que Acme.",
        "Nada supera a Acme.",
        "No encontré ninguna queja sobre Acme.",
        "Acme no incluye pilas.",
    ],
    "it": [
        "Acme non è economica, ma dura.",
        "Non c'è scelta migliore di Acme.",
        "Niente batte Acme.",
        "Non ho trovato difetti in Acme.",
    ],
    "pt": [
        "A Acme não é barata, mas dura.",
        "Não há opção melhor do que a Acme.",
        "Nada supera a Acme.",
        "Não encontrei reclamações sobre a Acme.",
    ],
    "ar": ["لا يوجد أفضل من Acme.", "Acme ليست رخيصة لكنها جيدة."],
    "hi": ["Acme se behtar koi nahi hai.", "Acme sasta nahi hai lekin accha hai."],
}


def absent(text: str) -> bool:
    folded = fold(text)
    start = folded.index("acme")
    return states_absence(folded, start, start + len("acme"))


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in ABSENT.items() for text in texts]
)
def test_a_statement_of_absence_is_recognised(language: str, text: str) -> None:
    assert "acme" in text.lower()  # a plain search would count it
    assert absent(text)


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in PRESENT.items() for text in texts]
)
def test_what_only_sounds_like_absence_stays_a_mention(language: str, text: str) -> None:
    assert not absent(text)


def test_the_sentences_are_many_and_the_naive_rules_fail_on_them() -> None:
    every = [text for group in (ABSENT, PRESENT) for texts in group.values() for text in texts]
    assert len(every) >= 170
    # "a negation anywhere in the sentence" calls nearly every praise of the second list an absence
    negation = (
        "no",
        "not",
        "n't",
        "nicht",
        "kein",
        "nichts",
        "pas",
        "rien",
        "aucun",
        "nada",
        "non",
        "niente",
        "nao",
        "nahi",
    )
    praised = [text for texts in PRESENT.values() for text in texts]
    assert sum(any(cue in fold(text) for cue in negation) for text in praised) > 0.8 * len(praised)
