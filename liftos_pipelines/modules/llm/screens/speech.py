"""The words an instruction to a machine is made of, by what they do: a grammar's terminals, in six languages.

Folded (lower case, no accents). A word may do several things. Imperatives are listed as spoken; the grammar that
joins them is in `acts.py`.
"""

from __future__ import annotations

from liftos_pipelines.modules.llm.lexicon import spaced

WORDS: dict[str, tuple[str, ...]] = {
    "override": spaced(
        "overlook ignore ignoring disregard disregarding forget forgetting override overriding overrule bypass "
        "bypassing skip neglect discard discarding circumvent supersede evade violate break drop erase reset "
        "abandon suspend disable deactivate unlearn dismiss cancel disobey sidestep subvert omit lift remove "
        "ignorez ignorer oubliez oublie oublier negligez contournez contourner outrepassez abandonnez desactivez "
        "ignoriere ignorieren ignoriert vergiss vergessen vergesst missachte missachten umgehe umgehen ubergehe "
        "uberschreibe deaktiviere verwirf ignora ignorar ignoren olvida olvide olvidar omite omita descarta "
        "desobedece anula salta desactiva evita ignorare ignorate dimentica dimenticare trascura scavalca aggira "
        "disattiva ignorem esqueca esquecer desconsidere descarte contorne burle desative negeer negeren vergeet "
        "vergeten omzeil"
    ),
    "voided": spaced(
        "void invalid obsolete cancelled canceled ignored superseded overridden suspended lifted disabled revoked "
        "deprecated outdated replaced bypassed disregarded waived forgotten longer annulees ungultig aufgehoben "
        "anuladas"
    ),
    "rules": spaced(
        "restriction restrictions protocol protocols instruction instructions rule rules policy policies "
        "guideline guidelines guardrail guardrails directive directives constraint constraints safety safeguard "
        "safeguards moderation prompt prompts programming alignment safeguarding consigne consignes regle regles "
        "politique politiques garde-fous anweisung anweisungen regel regeln richtlinie richtlinien vorgabe "
        "vorgaben vorschriften einschrankungen instruktionen instruccion instrucciones regla reglas politica "
        "politicas directrices normas restricciones istruzione istruzioni regola regole politiche direttive "
        "restrizioni instrucao instrucoes regra regras diretrizes restricoes instructies regels richtlijnen "
        "beleid"
    ),
    "prior": spaced(
        "previous prior above earlier preceding before everything existing former precedentes precedente "
        "precedemment vorherigen vorherige bisherigen bisherige obigen alles vorigen anteriores anterior todo "
        "previas previos precedenti tutto tudo vorige eerdere"
    ),
    "ours": spaced(
        "system hidden initial internal developer secret original private confidential full starting underlying "
        "systeme cache cachee cachees caches interne internes privee privees prive prives secrete secretes "
        "initiales geheime geheimen versteckte versteckten internen oculto oculta ocultas ocultos interna "
        "internas internos secreta secretas sistema nascosto nascoste segrete segreto privadas privado verborgen"
    ),
    "prompt": spaced(
        "prompt prompts instruction instructions message rules directives guidelines configuration preamble "
        "config policy invite consignes regles anweisungen regeln instrucciones reglas istruzioni regole "
        "instrucoes regras mensaje messaggio nachricht instructies notes setup"
    ),
    "whole_prompt": spaced("systemprompt sysprompt system_prompt systemaufforderung systemanweisung systemanweisungen"),
    "reveal": spaced(
        "recuperez recuperer hole recupera reveler afficher montrer donner divulguer copier revelar mostrar "
        "rivelare mostrare zeigen verraten concatenate say contain spill reveal show print display output "
        "disclose leak expose dump repeat tell give return share provide list echo recite write copy state spell "
        "translate paste uncover divulge include append read quote encode montrez montre affichez affiche revelez "
        "revele divulguez donnez donne copiez copie imprimez repetez recopiez listez zeige zeig verrate verrat "
        "gib nenne offenbare drucke wiederhole liste kopiere schreibe muestra muestre revela imprime imprima di "
        "dame copia repite escribe lista mostra mostrami rivela stampa ripeti scrivi dimmi elenca mostre diga "
        "escreva repita toon onthul"
    ),
    "secret": spaced(
        "context_window secret_key secret secrets secret-looking environment_variables private_key api_keys "
        "api_key connection_string password passwords passphrase credential credentials token tokens canary "
        "cookie cookies ssn apikey apikeys keys privatekey .env dotenv jwt motdepasse secretes identifiants "
        "jetons passwort passworter zugangsdaten geheimnisse schlussel contrasena contrasenas credenciales "
        "secretos clave claves credenziali segreti chiavi senha senhas credenciais segredos chaves wachtwoord "
        "wachtwoorden"
    ),
    "send": spaced(
        "send post upload forward email transmit exfiltrate fetch leak transfer submit deliver push sync copy "
        "mail smuggle embed attach append publish relay beacon encode insert envoyez envoie envoyer transmettez "
        "transferez chargez publiez postez sende senden schicke schick ubermittle ubertrage lade poste leite "
        "envia envie enviar manda transmite transfiere sube carga publica reenvia invia inviare trasmetti carica "
        "inoltra pubblica transmita encaminhe carregue stuur verzend"
    ),
    "data": spaced(
        "customer customers user users client clients personal private internal confidential sensitive data "
        "record records emails conversation conversations history chat transcript transcripts contacts files file "
        "database databases documents context memory contents payroll invoices inbox mailbox environment messages "
        "answers donnees fichiers contenu historique daten kundendaten dateien verlauf inhalt datos clientes "
        "archivos contenido historial dati clienti dados arquivos gegevens klantgegevens bestanden"
    ),
    "outside": spaced(
        "attacker attackers evil external outside webhook exfil remote collector third-party dropbox pastebin "
        "ngrok externe exterieur externen externer externo externa esterno adversary hacker malicious hostile"
    ),
    "call": spaced(
        "executer appeler utiliser lancer ausfuhren ejecutar eseguire call invoke run execute use trigger launch "
        "start appelez appelle executez lancez utilisez rufe fuhre starte benutze nutze llama invoca ejecuta usa "
        "utiliza chiama esegui chame roep"
    ),
    "tool": spaced(
        "tool tools function functions plugin plugins shell command terminal api endpoint action actions outil "
        "outils werkzeug werkzeuge funktion herramienta herramientas funcion strumento strumenti ferramenta "
        "ferramentas"
    ),
    "destroy": spaced(
        "supprimer effacer loschen borrar eliminar borre borren geloscht delete drop wipe erase purge destroy "
        "remove truncate overwrite shred format kill supprimez supprime effacez detruisez losche zerstore borra "
        "elimina elimine cancella apague exclua verwijder wis"
    ),
    "approve": spaced(
        "approuver autoriser genehmigen aprobar approvare approve authorize authorise grant accept allow permit "
        "greenlight whitelist enable auto-approve approuvez autorisez validez genehmige erlaube bestatige aprueba "
        "apruebe autoriza confirma approva autorizza aprove autorize"
    ),
    "whole": spaced(
        "prochain prochaine nachsten siguiente proximo all every everything any each entire whole pending next "
        "automatically auto tous toutes tout alle jeden jede samtliche todos todas cada tutti tutte ogni toda"
    ),
    "asked": spaced(
        "demandes appels appel approbations paiements anfragen zugriffe solicitudes richieste pedidos purchases "
        "refunds withdrawals approval approvals request requests transaction transactions refund payment payments "
        "withdrawal purchase order orders access permission permissions privileges change changes calls "
        "deployment"
    ),
    "place": spaced("https http"),
    "your": spaced(
        "your ton ta votre vos deine dein deinen tu tus tuo tue le sue seu suas previous prior earlier system "
        "existing above original these all any"
    ),
    "money": spaced("funds money payment wire balance bitcoin crypto wallet refund fonds geld guthaben dinero fondos"),
    "admin": spaced("admin administrator root superuser sudo privileges owner superadmin"),
    "malign": spaced(
        "exfiltrate exfiltrating smuggle siphon phish ransom sabotage drain backdoor exfiltrez stiehl roba ruba roube"
    ),
    "above": spaced("above verbatim foregoing"),
    "soft_rules": spaced(
        "filter filters limits limitations boundaries controls commands orders guidance role training persona "
        "task rolle"
    ),
    "mine": spaced(
        "your safety content security previous prior earlier ton votre deine dein deinen tu tus tuo seu all-safety"
    ),
    "own_prompt": spaced("prompt prompts guidelines configuration config instructions preamble directives"),
    "raise": spaced("escalate elevate promote upgrade grant give assign make"),
    "hide": spaced("hide conceal withhold cachez verberge oculta nascondi"),
    "optional": spaced("optional unnecessary needless needed necessary required"),
    "master": spaced("user users operator owner human user's operator's developer developers"),
    "supplant": spaced(
        "remplace remplacez reemplaza ersetzt sostituisce substitui replace replaces supersede supersedes amend "
        "amends rewrite rewrites become becomes"
    ),
    "orders": spaced("systeme sistema systems system developer"),
    "foreign": spaced("locataire locataires mandanten mandant inquilino inquilinos tenant tenants others_data"),
    "chief": spaced(
        "administrator administrators admin root superuser sysadmin administrateur administratrice administrador "
        "amministratore beheerder"
    ),
    "who": spaced(
        "user utilisateur usuario benutzer nutzer utente usuaria account compte konto cuenta you vous du eres sei "
        "voce i"
    ),
    "unbound": spaced(
        "unrestricted jailbroken jailbreak dan uncensored unfiltered unlimited unbounded amoral lawless "
        "sans-restriction unzensiert uneingeschrankt"
    ),
    "role": spaced("act pretend simulate roleplay role-play behave become impersonate enter switch enable activate"),
    "mode": spaced("mode modus modo modalita"),
    "mode_of": spaced("developer debug god admin maintenance jailbreak unrestricted sudo root dan dev test override"),
    "keep": spaced(
        "remember save store write add record update persist memorize memorise note learn insert keep retain "
        "commit internalize memorisez souvenez enregistrez retenez ajoutez merke speichere behalte notiere "
        "recuerda guarda almacena ricorda salva memorizza lembre guarde onthoud bewaar"
    ),
    "memory": spaced("memory memories long-term persistent memoire gedachtnis speicher memoria geheugen long_term"),
    "forever": spaced(
        "profile preferences preference permanent always forever permanently future subsequent henceforth onward "
        "hereafter later toujours desormais futures immer kunftig zukunftigen siempre futuras adelante sempre "
        "futuro voortaan altijd sessions"
    ),
    "treat": spaced(
        "treat trust consider regard interpret accept mark believe assume view handle process promote elevate "
        "rank merge incorporate adopt traitez considerez behandle betrachte trata considera tratta considere "
        "trate"
    ),
    "trusted": spaced(
        "directive directives system-level trusted authoritative verified authorized authorised system policy "
        "instruction instructions command commands approved official developer priority privileged admin "
        "administrator canonical binding executable trustworthy confirmed"
    ),
    "outrank": spaced(
        "overrides override supersedes supersede outranks outrank precedence priority replaces trumps prevail "
        "prevails overrule overrules"
    ),
    "not": spaced(
        "sans ohne sin senza sem zonder not never don't dont no cannot can't won't nicht nie niemals keine kein "
        "ne n pas jamais nunca jamas non mai nao niet nooit avoid without refuse refuses stop shouldn't mustn't "
        "doesn't does"
    ),
    "obey": spaced(
        "follow following obey comply apply adhere execute honor honour suivez suivre obeissez befolge folge "
        "sigue obedece segui siga volg"
    ),
    "tell": spaced(
        "informer tell telling mention mentioning inform informing notify notifying alert alerting warn warning "
        "disclose log logging report reporting show showing reveal asking mentionnez informez dites sage erwahne "
        "informiere menciones informes digas menzionare dire"
    ),
    "watcher": spaced(
        "user users anyone human humans operator owner them supervisor reviewer admins security this it person "
        "utilisateur personne benutzer nutzer niemand usuario nadie utente nessuno gebruiker"
    ),
    "covert": spaced(
        "silently secretly covertly quietly stealthily invisibly discreetly silencieusement heimlich secretement "
        "silenciosamente"
    ),
    "checked": spaced(
        "approbation genehmigung bestatigung zustimmung aprobacion confirmacion approvazione conferma approval "
        "confirmation review verification permission consent authorization authorisation checks oversight asking "
        "warning validation"
    ),
    "guard": spaced(
        "security logging audit auditing monitoring guardrail guardrails safety moderation protection alerts logs "
        "detection firewall safeguards dlp sandbox controls"
    ),
    "machine": spaced(
        "assistant assistants ai agent agents model llm chatbot bot gpt chatgpt claude gemini copilot l'assistant "
        "assistent assistenten ki modell asistente ia assistente modelo modele"
    ),
    "must": spaced(
        "must should shall needs need required doit doivent devez muss mussen soll debe deben deve devono dever "
        "moet ought"
    ),
    "polite": spaced(
        "please kindly now then and also just you must should immediately first instead always simply next puis "
        "et ensuite bitte und dann y luego por e poi depois en dan so or but"
    ),
    "own": spaced("my our mine mein meine mon mes mi mis mio meu minha mijn"),
    "asker": spaced(
        "how what why where when which who can could do does did is are was will would may comment wie warum como que"
    ),
}

FRAME = frozenset(
    spaced(
        "example examples phrase phrases phrasing pattern patterns detector detectors detection test tests "
        "testing fixture fixtures sample samples corpus corpora dataset training trainer lesson lessons quiz "
        "workshop slide slides students student analysts analyst attack attacks attacker's jailbreak jailbreaks "
        "injection injections prompt-injection malicious postmortem blog research researchers paper article "
        "changelog release regression guide guidance documentation docs rule explainer guardrail quotes quote "
        "quoted quoting literal refuse recognize recognise unsafe risky dangerous classify annotate evidence "
        "appendix explains explain explaining mention mentions mentioned contains containing contained says said "
        "describes describing discusses discussing discussion illustrates illustrate flagged flag blocked block "
        "rejects rejected defends defense defenses defence owasp ncsc course tutorial advisory assert signature "
        "regex string comment coverage allowlist attackers hackers criminals historical suspicious untrusted "
        "threat threats red-team incident report demonstrates attempt attempts attempted warns warning beispiel "
        "exemple ejemplo esempio exemplo glossary faq entry known warned like awareness playbook lists list "
        "listed displays displayed named called titled section chapter cite cites unit"
    )
)
"""Words that speak about a wording instead of using it."""

CLASS_OF: dict[str, frozenset[str]] = {}
for _name, _words in WORDS.items():
    for _word in _words:
        CLASS_OF[_word] = CLASS_OF.get(_word, frozenset()) | {_name}
KNOWN = tuple(dict.fromkeys([*CLASS_OF, *sorted(FRAME)]))
