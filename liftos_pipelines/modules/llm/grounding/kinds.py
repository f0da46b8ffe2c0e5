"""Kinds of events and roles: words of one kind say much the same, a kind that the context lacks is invented.

A summary in new words may call a dismissal a sacking; it may not turn it into a resignation. English only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from liftos_pipelines.modules.llm.grounding.words import stem
from liftos_pipelines.modules.llm.lexicon import spaced

_EVENTS = """
die died dies dying dead death deaths killed kill kills killing fatal fatally deceased perished lethal | lives widow
murder murdered murders manslaughter assassinated assassination homicide | killing
injured injury injuries wounded wounds hurt fractured | burns casualties broke broken bruised harm unharmed unhurt
ill illness disease cancer sick infection infected virus leukaemia dementia | problems voice
pregnant birth baby pregnancy | born
married marry marriage wedding | engaged husband wife widow spouse ceremony
divorce divorced | split separated
arrested arrest arrests detained detention custody | held caught
charged indicted prosecuted | charge charges accused accuses accusation alleged allegedly allegations suspected suspect
convicted conviction guilty convict | sentenced jailed
jailed jail prison imprisoned imprisonment | sentenced sentence
acquitted exonerated acquittal | cleared innocent free
penalty penalties | fined fine fines
sued sue sues suing lawsuit lawsuits | suit damages claim case court tribunal
appeal appeals appealed | challenge
resign resigned resigns resigning resignation quit quits quitting | step_down stepped_down stepping_down leave left
dismissed dismiss dismissal sacked sack redundant redundancies layoffs laid_off ousted | fired removed jobs lost
retire retired retires retirement retiring
appointed appoint appointment | hired succeed successor replaces named takes_over
election elections re-elected ballot referendum poll polls | elected vote voted votes voters
victory victorious triumph champion | win won wins winner winning beat beats beaten defeated gold
defeat defeated | lost lose loses losing beaten loser beat
scored hat-trick goal goals | score scores strike header headed
equalised equaliser | drew draw level levelled
signed signing | sign signs contract deal transfer agreement
banned ban bans prohibited outlawed barred | suspended suspension
approved approve approves approval endorsed | passed backed back backs agreed agree accepted accept adopted voted
rejected reject rejects turned_down voted_down vetoed | refused refuse refuses against dismissed denied denies declined
cancelled cancel called_off call_off scrapped abandoned axed | withdrawn
postponed postpone delayed delay delays deferred
shutdown closure | closed close closes closing shut shuts shutting blocked blocking fenced
launched launch launches launching unveiled inaugurated | opened open opens opening started
bankrupt bankruptcy insolvent insolvency liquidation | collapsed collapse administration failed
takeover acquisition merger | bought buy buys buying acquire acquired purchased merge merged taken_over take_over
sold sell sells selling | sale sales
stole steal stolen stealing theft thief thefts robbed robbery robber burglary heist looted embezzled | took raid
fraud fraudulent scam swindle defrauded | falsifying falsified forged forgery
bribe bribes bribery corruption corrupt kickbacks
rape raped abuse abused assaulted assault sexual sexually molested harassment
stabbed stabbing knife knifed
shooting gunman gunpoint firearm gunshot shootings gunmen | shot gun shots
bomb bombing bombed bomber grenade bombs
explosion blast exploded explode explosions | blew_up
blaze arson | fire fires burned burnt flames burning
crash crashed collision collided collide overturned derailed derailment | accident rammed wreck struck hit tumbled rails
flood flooded flooding floods floodwater
rain rainfall storm stormy storms hurricane cyclone icy weather winds windy fog tornado | snow ice
drought heatwave | dry heat hot temperatures
earthquake quake tremor landslide avalanche eruption
drowned drowning | swept
rescued rescue rescues rescuers | saved
disappeared disappearance vanished | missing
fled flee flees | escape escaped
kidnapped kidnap abducted hostage hostages kidnapping
protest protests protesters demonstrators demonstration | demonstrated rally march blockade
walkout industrial_action | strike strikes union
riot riots unrest | clashes violence violent
invasion invaded troops military | war army soldiers
attack attacked attacks attacker attackers militants terrorist terrorism
doping cocaine heroin cannabis steroids | drug drugs
drunk alcohol drink-driving intoxicated | drinking
smuggled smuggling trafficking smugglers
apologised apologise apology apologises | sorry
praised praise praises hailed | welcomed
criticised criticise criticism criticises condemned | blamed blame blames critics
warned warn warns warning warnings
threatened threaten threats threat threatens
inquiry probe | investigation investigating probing investigate investigators
deported deportation deport extradited extradition
released freed | release bail
recovered recover recovery recovering
vaccine vaccinated vaccination
polluted pollution toxic contaminated
donated donation donor | funding funded fund grant loan financed paid
hacked hackers cyber cyberattack
leaked | leak leaks
dispute quarrel feud | row disagreement argument clash conflict
repatriated | returned return returns returning
evacuated evacuation evacuate
demolished demolition demolish | pulled_down
honoured award awarded prize medal shortlisted | nominated
debut
"""
_ROLES = """
bus coach minibus tram lorry truck | van vehicle car
mayor mayoral
president presidential presidency | head
minister ministers ministry | secretary
prime_minister premier chancellor
governor
mp mps lawmaker parliamentarian senator congressman councillor | deputy parliament
queen prince princess royal monarch | king
judge judges magistrate magistrates | justice court jury tribunal
lawyer lawyers attorney solicitor barrister | counsel
prosecutor prosecutors
police officer officers detective detectives policeman inspector sergeant constable policewoman
soldier soldiers troops army | general
doctor doctors physician surgeon medic medics gp
nurse nurses midwife
patient patients
teacher teachers headteacher lecturer
student students pupil pupils schoolboy schoolgirl undergraduate | teenager teenage
toddler boy girl schoolchildren | child children kids youngster youngsters baby daughter son teenagers
pensioner pensioners | elderly retired
scientist scientists researcher researchers biologist physicist astronomer astronomers professor engineer | expert study
farmer farmers
fisherman fishermen trawler | skipper
diver divers
motorist motorcyclist | driver drivers
cyclist cyclists | rider
pilot pilots
passenger passengers commuters
actor actress actors | star
singer musician musicians guitarist vocalist | band pop star act
novelist playwright | author writer poet
film-maker filmmaker | director directors
footballer striker midfielder defender goalkeeper winger
manager coach | boss head chief director chairman chairwoman leader
boxer boxing
golfer golf
tennis
rugby
cricket cricketer batsman bowler
swimmer swimming freestyle
marathon athlete sprinter | runner
jockey racehorse
priest bishop vicar archbishop pope
supermarket | shopkeeper retailer shop store stores shops
banker | bank banks
accountant book-keeper bookkeeper accounting
builder developer contractor | construction
tourist tourists holidaymakers
refugee refugees migrant migrants asylum
prisoner prisoners inmate inmates
mother father parents son daughter brother sister | family relatives grandson
olympic olympics
airport airline | plane planes aircraft flight
railway | train trains rail line
ferry | ship boat vessel port
hospital clinic
"""
"""Words after "|" are of the kind where the context has them, but tell nothing by themselves."""
KINDS: dict[str, tuple[int, ...]] = {}
"""Kinds of each stem; two words with a blank between for expressions."""
PAIRS: frozenset[str]
TELLING: set[str] = set()
"""Words, as written, and expressions that are of their kind whatever stands beside them."""
for _number, _line in enumerate(line for line in (_EVENTS + _ROLES).split("\n") if line.strip()):
    for _telling, _words in zip((True, False), _line.partition("|")[::2], strict=True):
        for _word in spaced(_words):
            _key = " ".join(stem(part) for part in _word.split("_"))
            if _number not in KINDS.get(_key, ()):
                KINDS[_key] = (*KINDS.get(_key, ()), _number)
            if _telling:
                TELLING.add(_word.replace("_", " "))
PAIRS = frozenset(key.partition(" ")[0] for key in KINDS if " " in key)


def kinds_of(stems: Sequence[str], place: int, last: int) -> tuple[int, ...]:
    """Kinds of the word at a place, of the expression that begins there where it is one."""
    if stems[place] in PAIRS and place + 1 < last:
        both = KINDS.get(f"{stems[place]} {stems[place + 1]}")
        if both is not None:
            return both
    return KINDS.get(stems[place], ())


def all_kinds(stems: Sequence[str], distinct: Iterable[str]) -> frozenset[int]:
    """Kinds of every word and expression of a text; `distinct` are its stems, each once."""
    found = {kind for word in distinct for kind in KINDS.get(word, ())}
    for place, word in enumerate(stems[:-1]):
        if word in PAIRS:
            found.update(KINDS.get(f"{word} {stems[place + 1]}", ()))
    return frozenset(found)
