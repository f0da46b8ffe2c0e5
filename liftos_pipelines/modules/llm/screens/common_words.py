"""Common English words, the most frequent first: what a masked text is read back into.

Counted in HaluEval's general questions and answers (Li et al. 2023, MIT) and Banking77's queries (Casanueva et al.
2020, CC BY 4.0); a list of words, no sentence of either can be had back from it.
"""

from __future__ import annotations

from liftos_pipelines.modules.llm.lexicon import spaced

COMMON = spaced(
    """
the and to of is in my for it can that with as or an on you this card be are do have what up how from not was by
why but their your me account there use money has top one we transfer they get like about new need if will when
create make more such language data at all would time help which through where given using also model payment two
its so list provide take been other could example cash generate used am out our please some any into way find app
work just may each exchange long world number made following charged her them who while us people day information
however atm name different did she should life fee he rate still change write his pending see does know technology
want energy customer over between go code here being than describe three words possible had these no transaction
come set personal now something based first water pin tell function learning person sentence add statement wrong
product making give someone charge amount system yet virtual input access explain both only many reduce poem back
most social got let extra cards without love declined service refund check withdrawal before natural process going
nature cannot text light working online well user important after tried company right including because specific
never around experience every high story think array identify string health identity additionally value another
received machine food overall keep problem human order word showing phone times air suggest potential physical
able down business area then return improve small sum website sun were design numbers good place family current
often disposable always much home computer algorithm getting purchase today therefore best num together night
content result bank city sky apple type currencies must support currency even pay funds end country days impact
own character five store during friend found include free various same body media item article power show color
feel python cost unique environment message users ago great individuals ways heart second lost receive print
future details john last needs trees better output large values balance few book positive products years friends
creative taking until start sense sound form items complete earth beauty market car range verify software variable
off self features next once customers table sure sent healthy common resources real services known understand year
ability quality true tasks calculate climate helps increase trying team action look total transfers creating
cancel systems due stay main length movie triangle global group program significant others sentences shows
communication too intelligence job activities age since colors debit elements education offer email clear less
within red deep situation development equation already reason lead old transactions weather additional cause steps
fees thought short open learn those issue individual average morning google black takes ensure towards multiple
direct hello history students research factors address date line available complex title left correct providing
analyze countries leaves several concept style artificial benefits everything side warm stress sorry size key
states things growth stars limit loop description blue task simple might patterns withdraw hand uses healthcare
waste web went topic feeling businesses involves security bright fresh financial won solution choose determine
temperature summarize industry points idea verification space importance compose related become seems american
paragraph characters certain case credit class strong error instead digital mobile put green cheese element joy
ingredients sweet events bought allows tree perfect away analysis post needed carbon knowledge united per
programming password step success lines gone sources experiences mastercard marketing couple project full activity
haven increased control performance eyes recent news challenges public image week past response decision care term
internet reducing animals having ideas means changes done moment month track personalized efficient payments
context shopping event game soon location search read delivery activate examples price logo preferences white
exercise living journey skills management leading difference visa cheque writing provides children wind face
looking goals behavior whether network paper source waiting variety tools effective recognize issues against enjoy
low bring typically sea him depending cup avoid essential live processing rates china popular models mental big
local breeze move deposit head questions algorithms environmental share across question hard stolen non four hope
explore hold young gentle enough called mean necessary science types makes anything formula birds higher painting
building remember answer feature sustainable least play square watch brand quickly park hours wait transportation
terms conditions try plan understanding sight medical send etc seen renewable call easy point animal travel
community equal structure field friendly music perform break patient really gpt meaning construct moon close force
room species plastic practices levels population economic peace materials sales reverse charges again cat finally
column associated ice setting humans transferred state along subject saw though surface gas sides auto lives
happened reach summer noticed earlier recognition very display express tweet ocean says accept shape art fun
orange everyone level books applications note follow background largest believe adding opportunities emissions
general else missing restaurant ultimately prevent incorrect link filled appropriate plant part images speed
options risk little sleep professional count twice happy student upon international difficult solve seem predict
double kind above foreign party further turn vegetables stock cars develop continue beautiful effects original ups
topping interest allow daily protect purpose easily problems added games decisions convert school run doing salary
require despite reverted includes income recently promote tool negative society cultural save cancelled deposited
oil object pollution instructions interesting opinions applied atmosphere contact latest wanted loss focus
distance land forest rise compare favorite cream devices assist successful arrived cloud longer device test soft
adventure refers major provided objects storage method study designed ready role mind planet relevant base
government works feedback page required buy greater budget accurate yourself concerns requires took insights voice
analogy meal random regular series trust treatment driving traditional yesterday say attention political seller
visual def coffee update dark stop sports caused mountain areas written results minutes completed beach
beneficiary taken unable street scientific comes house changing single changed pandemic gbp center application
purchased dish whole forever recipe inside fruits culture option failed checked covid cooking build heat rain
solutions accuracy chicken shown improving requested height companies maximum under integer status follows matrix
dance beyond fast piece prices wide garden named arr came electric likely thing usually sample spread traffic
river speech trends modern among consider passcode chart milk playing ground actions techniques methods according
banana fields appears emotions peaceful economy employees offers practice goal grow walking weeks integers far
basic meeting paid particular technologies produce below running returns clean hour girl outdoor starting video
phrase assistant effect nothing efficiency fix stand training bold feelings approximately achieve report highly
final sort skin flowers road progress maintain onto strategies choice fruit bread remove months tall coming
encourage actually capability thank novel beliefs alice film powerful probability ever dataset asked costs
allowing figure neural processes width butter components vibrant million request special topics safety vast scene
challenge giving anxiety keeps sequence secure plants expenses improved allowed platforms websites false bags
select active vary commonly fire forward explanation strength behind suddenly dream throughout serve baking smart
causing walk salt reading relationship lifestyle winter movement index simply looks created reality waves reversed
remote abroad eggs sugar present diet fact creates felt meet expression enhance larger consumption audience join
enter engaging risks standard memories increasing manage prime fish supported critical relationships recycling
entertainment characteristics summary font fall delete consequences theme temperatures outcomes hearts flow said
fear platform connect immediately clothing expected solar holiday suggests lack delivered anywhere mistake
represent updated database easier usage destination symphony creativity differences introduction definition
growing computing query sorted prioritize warmth fitness machines quick measures warming reasons atms visit
recommendations symbol embrace yellow greenhouse operations limited town smaller woman classic useful contains
child crucial effectively automatically diverse angle appear policies chemical evidence argument trip camera
valuable emails brown knew storm disease rice holding blog strategy properly expect errors guide friendship grace
star imagine suitable brings teacher mine addition board ones safe gave vacation productivity compared rejected
transferring represents review india approach developing happiness french dioxide edit stories innovation monthly
thinking saying accurately dogs returned navigate lower meditation industries engagement darkness members library
radius begin combination rich finding causes dreams calm thoughts pound goes investment connection moving
opportunity arrive mathematical robots topped pepper variables located traveling delicious recommend actual
classification gender strange gift laughter sqrt places path seeing season pressure olive sets conclusion rest
pain solving dishes programs symptoms either accepted facial salad considered cells fraud technique optional
ancient position protein france truly letter fill wonder feet communicate dinner lights satisfaction avocado
metaphor employee scenario root sunlight hands functions amounts tone memory third organizations hypothesis
resulting updates course replace magic valid clouds flower song schedule oxygen matter endless miles sarah breath
circle ease historical similar forms drive emotional regularly worked layer savings ordered english sharing groups
stunning taste gravity previous implement famous define sounds pure parts glass hidden block outside faster
fiction awareness limits maintaining chain languages alone canvas organization screen worth interests creatures
amazon routine bond purchases smile weight repeat themselves prompt personality late opening nearby abilities
competition trained roasted respect movies assistance ethical exploring offering gives broken contribute mood
period sometimes college soul iphone spam presentation quiet heard started interested becomes empty collaboration
implementing chocolate tips appliances educational rather cats supplies smartphone engage daughter decline
chatbots responsible operating pounds exchanges hear unfortunately menu south eating cleaning spend emergency
branches sending damage highest desired york fills describing sauce match complexity efforts cold standing
checking touch career walked yogurt assistants justice evolution record entire fine promoting european essay
harmful europe exchanging paying verified direction columns kitchen enjoying privacy classify conversation rock
directly flight vehicles grateful verb respond prepare planning capable remains constant happen engine advanced
cutting pieces shop snacks kids evaluate rent unexpected facts sentiment alternative effort significantly
generally entered fiat powered detect blockchain button cases continuous units mission keeping empathy secrets
rules assuming sand mountains chance independent outcome innovative records later projects existing target brain
commerce advertising cancer prove themes camping biodiversity networks blocked withdrew degrees university script
author release determined excellent turns tomorrow calories shirt puzzle initialize recipient apps leave sing
doctor cool tomatoes package garlic spending bird reminder june wildlife view snack scientists excitement cake
slices trouble responses trend meat server soil proper happening raise office unit plans sensors apply computers
classroom hotel expire reviews format involve frequently middle verse moments bringing pass near closer grand
photo breakfast sway conservation itself determination comfort diseases cultures birthday glow urgent buying
national depends flat bowl supposed situations particularly verifying wallet welcome javascript extract console
fashion hair adds ensuring laptop frac driven noise fuels meaningful half supply gold beans reset reliable impacts
divide death letters looked production cherish technical presence genetic leaving fahrenheit policy fully listen
decrease factor highlights revolution communities insurance grilled pattern tracking robot withdrawing mindfulness
opinion disappeared measure visualization member depth helping introducing align mysterious videos trade fair
infrastructure grade demand okay ride calculated facebook potentially relaxation vegan traits slowly grocery
smooth regression dedication serene horizon loved edge monitor seeds equations appreciate achieved currently
picnic landscape virus processed handle bear estimated challenging documents dispute sunset deliver interact
reduces restrictions duplicate expires unblock condition label section seconds interface minimum quite sensitive
purposes scheme race delight texture bell hiking gratitude moves heavy cups gently beneath anyone freeze decided
reflect talk flavor becoming connected gotta battery balanced breaks continues tech shared accounts moved mass
automated conflict resilience informed electronics binary discount fossil almost collect smith doctype border none
testing interactive containing diversity stored deal rows primary obstacles hues unknown toast graphics dynamic
autumn stuck sharp slice shining detection creation calls homes emphasizes score reader linear breaking america
increases increasingly adjust reaction served quote especially volume workplace pair multiplication describes
properties honey href cover outline watching apples happens correctly document discovery finish percentage goods
universe became import rights shine chaos north soothing wonderland region dear beef front melody intelligent
streets picture leads begins restaurants magical multiply placed plus discover police visible seek formed
comfortable slow regulations charging receiving ultimate optimize speak cell constantly theory sign brief owners
listening groceries property bottles colorful catch myself exciting spirit suggestions alive rule clients frozen
draw sliced beginning passing swift deviation dangerous played cozy rustling material blanket capabilities
released golden capture chips soda nuts selection checks skill affect parents predictions rising portable reusable
definitely loyalty identifying expectations electricity convenient jobs built vision frequent merchant evening
engineering shoes quantity noinput finance ahead wild poverty equipment dictionary island discovered reaching
accordingly ends remain teaspoon math escape calming early round structures realized electronic surprise lemon
fight appearance celsius arguments poor surrounded leader revenue dress everyday romantic resolve attempted
activation fraudulent withdrawals contactless began visitors info requirements drawing oranges brave automation
kindness twinkle industrial passion survey household amidst flows told incorporate external amazing dessert
concepts spinach stood schools greek passed limerick thunder starts participants survive stronger shapes roots
powder juice swimming limitations foods drivers sunny rabbit experts decreased speaking thanks concise organize
lighting upcoming discuss photos plays ideal managing developed numerous hunt crypto categories potatoes initial
scale version client window generation generated japan frame kingdom brought resource prefer stands lasting feels
retrieve onion chirping similarly pink peppers spring authentication protagonist door ecosystems characterized
motion british kept forget figures beat iterate zero hill tropical achieving cook cuisine focused responsibility
wine audio harm treasure spent panel covered pencil bedroom radiation advice wear luck playful thick depend
completing experiencing followers rocks statements courage modify falls occurs ecosystem generations facing
workers perspective wondering footprint analytics photosynthesis discounts campaign meta insert funny organized
millions exploration confirm visually chase smell names president weekend maintenance guests instruction valued
smallest rose surrounding rare rises identification bananas believed pace operate secret powers sustainability
snow bloom finds disasters towering meals ended mother expertise carry private parameters pick harry diagnosis
influence gain mixed seeking conserve spaces anymore rapidly mail difficulty prediction stores posts slightly yoga
forgot unauthorized header sleeping padding notes coding convey molecules helpful chatbot strings election cities
whose shines tranquil attacks basketball cross views rewrite windows push consists username twitter distribution
developer swap silent relax mystery contain experienced articles pseudocode slope smartphones confidence gets
syntax carefully literature seemed combine meters char berries designs women medium reports widely brainstorm
descriptive commitment laws organic eventually engineer survival habits enable protecting grid efficiently absorb
operation normal install activating reactivate refunded pages coronavirus vinegar margin shift singing studying
relaxing maybe reduced inspired wings agriculture unemployment lightning afraid degree california ball plugging
rainbow incredible quinoa dining containers chopped oceans habitat guiding alternatively crisp shade breathing
fixed pasta families reached struggling gaming ensures hardware vanilla cognitive busy hero jane mouth salmon
satisfied arms extreme collection calendar parties celebrate painted interactions vegetable particles subtract
otherwise willing serving opposite reflects locations jacket logical holds wheel regarding regions photography
intricate closing equipped cube tomato choices avoiding expensive practicing affordable incentives gotten whereas
sepa nations department vertices angles submit site knowing capital australia april lived wonders prompts
encourages recommendation severe physics advancements imagination emotion thrive digits hobby composition minute
gather lunch cycle potato curious promotes denied pretty vulnerable impossible filter squared whispers frequency
approaches prepared split revolutionize inner phrases apart lettuce pizza balloon minerals comparing loves adults
microsoft falling command century hypothetical mistakes transform reactions sunscreen humanity sudden showed
closed mitigate thousands mortgage blocks utensils faced motivated proverb mary magnitude predictive bias
motivation significance multi greatest generating directions cooked failing persuasive owner adapt accessible
invest detail translation vector organisms involved fabric didnt urgently wake worldwide numerical flour indicate
click supports philosophy representation focusing ongoing promptly requests printing forests gases female
manufacturing pursue possibilities sunshine petals stability miss choosing confident append category flying walls
offered java broccoli carrots loyal sheets courses netflix mode establish supporting chef inclusive fail
improvement chronic vocabulary environmentally memorable lily casting wish rhythm worried lush legs teachers
primarily defined realistic adventures settings maps studies inequality robotics teams clearly vital staying
surfaces aspects benefit closest guys gradually competitive underlying messages asap division container dancing
teaching wrap bottom const classes strawberries spain birth seed reference phenomenon destruction float rhyme
crime recommended male keywords grows strive harmony desire noun held saving wants statistical arrays stone
excessive vivid predicting impression summarizing learned technological tense ending winning sleek washing imagery
meets depression subjective relatively implications vehicle giant consumer coat overcome winds decimal academic
boundaries inches spot practical browser tries melting danger convenience players outfit recipes encounter
visiting struggles structured intensity healthier bill route deforestation separate although governments
advantages bulbs manner consumers transparent declining normally smtp revert pairs snippet linked preference
talking duration environments staff regardless layout distractions mars fuel coordinates subscription turned
inspiring smoking burning inputs compute patients behold mark captures dividing divided august masterpiece
delicate grain classified architecture thus resilient drink essence african listed asking cooler equals francisco
desert treat fluffy majestic countless dialogue load village tears purple forgotten accessories transformed
receiver pack ginger london pride incredibly plates tesla vacuum angeles trail deeper lesson crash recognized
therapy independence introduce reaches soccer titanic disorder scientist advance protection drinks grass luxury
speaker instagram assignment graphic spoken longest musical pricing putting housing massive files launch
addressing candidate italian delivering landfills mixture developers neurons investing flexibility official
analyzing autonomous explores intended disorders procedure affects exceptional augmented principle sale notice
axis canada conduct laughing solid tender datasets refer horror lists incorporating trillion germany seven eight
africa appealing highlight overwhelming approved assign clothes vote treatments freedom inspire experiment cameras
perseverance attend tiny soup bottle silence logic tail tofu hummus wooden hearing completely wearing climb beats
chest gifts tough digit likes tranquility rustle rolling appreciation exercises driver displacement waters train
worries faces craft herself rays fishing drinking nearest integration saturday remaining perspectives continuously
fatigue shore democracy contrast assigned regards sunrise coral alcohol glucose distinct rating abstract premise
passwords blend plastics discussion capacity instance transformation learns transparency sphere player exact
interview oven wireless continued straight previously factory aware siri tokyo shorter apologize packaging
withdrawn automate legal affected exposure trading cybersecurity recall populations leaks biggest stole loud
encouraging heights comparison pointer alert lose metric effectiveness inviting turkey pull rocket lengths toys
married west lowest senses inspiration corresponding grains calculus poetry caught creature boss nose
"""
)
