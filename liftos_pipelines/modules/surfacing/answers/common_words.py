"""Words that texts use without naming anybody: a brand of that name needs more evidence than its letters.

Two sets, folded, our own selection of everyday words in English, German, French, Spanish, Italian and Portuguese:
`FUNCTION_WORDS` begin sentences and headings so often that a capital letter proves little; `COMMON_WORDS` are nouns,
verbs and adjectives of shopping, money, travel, health, technology and the home. A list can never be complete:
`Name.common` overrides it for a client's own names.
"""

from __future__ import annotations

FUNCTION_WORDS = frozenset(
    """
a about above after again all almost also although always among an and another any anything are around as at back be
because been before behind being below best better between both but by can could did do does down during each either
else enough even ever every everything everywhere few first for from full get give given good great had has have he
her here him his how however i if in inside instead into is it its just keep last later least less let like little
made make many may maybe me might more most much must my near need never new next no none nor not nothing now of off
often old on once one only onto or other others our out outside over own per please rather real right same she should
simple simply since so some something soon still such than that the their them then there these they this those though
through thus time to today together too top toward try two under until up upon us use used very via was way we well
were what when where whether which while who whole whose why will with within without would yes yet you your aber alle
alles als am auch auf aus bei beim bis bitte da damit dann das dass dein dem den denn der des die dies diese dieser
doch dort du durch ein eine einem einen einer eines er es etwas euch fur ganz gegen gut hat haben heute hier ich ihr
im immer ist ja jede jeder jedes jetzt kann kein keine man mehr mein mit nach neu nicht nichts noch nun nur oder ohne
schon sehr sein seit sich sie sind uber um und uns unter viel vom von vor war weil wenn wer wie wieder wir wird wo zu
zum zur au aucun aussi autre aux avant avec beaucoup bien bon ce cela ces cette chaque chez comme dans de depuis deux
donc elle elles en encore est et eux fait il ils je jamais la le les leur lui mais meme moins mon ne ni nos notre nous
ou par pas peu plus pour que quel qui quoi rien sa sans se ses si son sont sous sur ta te tes toi ton toujours tous
tout toute tres trop tu un une vers vos votre vous al algo alguien antes aqui asi aun bajo cada casi como con contra
cual cuando del desde donde dos el ella ellos entre era esa ese eso esta este esto fue ha hasta hay las lo los mas
mejor menos mi mucho muy nada nosotros nuestro nunca o otra otro para pero poco por porque pues quien ser siempre sin
sobre solo su sus tal tambien tan tiene todo todos tus una uno y ya yo ai alla altro anche ancora bene che chi ci come
cosa cosi cui dal dalla dei della delle di dopo dove due e ecco fra gia gli ho io lei loro ma mai meno mio molto nel
nella noi non nostro ogni oggi ora perche piu poi prima quale quando quanto quella quello questa questo sei sempre
senza sia sono sopra sotto sul suo tra troppo tuo tutti tutto vi voi ainda ao aos ate boa bom com dela dele depois ela
elas ele eles em essa esse estao eu foi isso melhor meu minha muito na nao nas nem nossa nosso num numa os pela pelo
quem sem seu sim sob sua tambem tem tudo uma voce
""".split()  # noqa: SIM905 - a page of words reads better than a list
)

COMMON_WORDS = FUNCTION_WORDS | frozenset(
    """
ability access accessories account accurate action active add added additional adjustable advanced advantage advice
affordable age agency aim air airline airlines alarm album ale alert alternative alternatives america american amount
amplitude anchor angel angle animal announcement annual answer ant antenna apart app appeal apple apples apply
approach apps arc arch area arena arm arms army arrow art artist aspect assistant atlas atom audio august away author
auto automatic autumn available average baby backcountry backpack bag bags balance ball ballistic bamboo banana band
bank bar bare bark barn base baseline basement basic basics basket bass bat bath bathroom battery bay beach beacon
beam bean beans bear bears beast beat beats beautiful beauty bed bedroom bee beef beer beginner beginners behavior
believe bell belt bench benefit benefits bet beyond bicycle big bike bill bird birds birthday bit bite black blade
blank blanket blaze blend blender blenders blessing blind blink block blocks blog bloom blue bluetooth board boat body
bold bolt bond bonus book books boost boot boots border boss bottle bottom boundless bounce bowl box boy brain brake
branch brand brands brave bread break breakfast breath breeze brick bridge brief bright brilliant bring broad
broadcast brook brooks brother brothers brown browse browser brush bubble bucket bud buddy budget buffalo bug build
builder building built bull bumble bundle burger burn burst bus bush business busy butter butterfly button buy buyer
buying cabin cable cactus cake call calm camel camera cameras camp campaign canada candy cannon canvas cap capable
capacity cape capital captain car caravan caraway card cards care career carrier carriers carry cars cart case cash
cast castle cat catch category cater caution cave cell center central century ceramic certain certified chain chair
challenge champion chance change channel channels chapter charge charger charging charm chart chase cheap check cheese
cherry chess chest chicken chief child children chime chip chips choice choices choose choosing chrome church cinema
circle circuit city clarity class classic clay clean cleaner cleaning clear clever click client climate climb clinic
clip clock close cloth clothes clothing cloud clove clover club clue coach coal coast coat coating cobalt code coffee
coin cold collect collection college colony color colors column combo comet comfort comfortable command comment common
community companion company compare comparison compass compatibility competitive complete comply compression computer
concept concert conclusion condition connect connection connectivity considerations consider consistent constant
construction consumer contact contain contemporary content contents contest context continental contract control
controls convenience cook cooking cookware cool cooling copper copy coral core corner corporate cost costs cotton
council counter country courage course court cover coverage cozy crack crackle craft crane crate crazy cream create
credit creek crew cricket crimson crisp cross crowd crown cruise crush crust crystal cube cue culture cup current
curve custom customer customers customizable cut cycle daily dairy damp dance danger dark dash data date dawn day days
deal dealer deals dear debut decent deception deck decoy deep deer default define dehumidifier delicate delight
deliver delivery delta demand denim dental depth desert design designed designer desk dessert detail detect device
devices dial diamond diesel diet difference digital dining dinner direct direction discount discover discovery dish
display distance distribution divide doctor dog dolphin dome done door dot double dough dragon drain drama draw drawer
dream dreams dress drink drive driver driving drop drug drum dry dual duck dune durable durability duty eagle ear
early earth ease east easy echo eclipse eco economy edge edition editor education effect effective effort egg eight
elder electric electro element elements elephant elevate elite ember emerald emergency emotion emperor empire employee
empty end endurance energy engage engine enjoy ensure enterprise entertainment entry environment epic equal equate
equipment ergonomic ergonomics escape essential essentials estate eternal ether eureka euro europe evening event
evergreen everyday everyone evidence evolution evolve exact example excellent exchange exclusive exercise exotic
expand expect expensive experience expert experts explore explorer express expression extension extra extreme eye eyes
fabric face facial fact factor factors factory fair faith fall falcon fame family fan fancy fans fantastic far farm
farmer fashion fast father fault favor favorite favorites feather feature features fee feed feedback feel feeling fees
felt fence festival fiber fiction field fifth fight figure file fill film filter final finance find fine finger finish
fire firm fish fit fitness fits five fix flag flair flame flash flat flavor fleet flex flexibility flexible flight
flint float floor flow flower fluid fly focus fog fold folk follow food foot football force forecast foreign forest
forever forge fork form formula fort fortress fortune forward fossil foundation founder fountain four fox fragrance
frame free freedom freeze fresh freshly friday friend friendly friends frog front frontier frost fruit fry fryer fuel
fun function functional fund fundamentals funny furniture fusion future gadget gain galaxy gallery game games gaming
gap garage garden garlic garnet gas gate gateway gather gear gel gem general generation generous genesis genius gentle
georgia giant gift ginger girl glad glamour glass glide glimpse glitter global globe glory glove glow glue goal goat
gold golden golf goods goose gopher grab grace grade grain gram grand grant grape graph graphite grass gravity gray
green greenhouse grid grill grip grit grocery ground group grove grow growth guarantee guard guardian guess guest
guide guides guild guitar gulf gum gun guru gym habit hair half hall halo hammer hand handle handles hands handy hang
happy harbor hard hardware harmony harvest haven hawk hazel head headphones headquarters healing health healthy hear
heart heat heater heating heavy height hello helix helmet help herald herb heritage hero hidden high highlight
highlights hill hint history hive hobby hold holder holiday hollow holly home homes honest honey honor honorable hood
hook hope horizon horn horse hospital host hot hotel hour hours house household housing hub huge human humble humor
hundred hunter hurricane hybrid ice icon idea ideal ideas identity image imagine impact imperial important impression
improve impulse inch include included independent index indigo indoor industry infinite infinity info information
inner input insight insights inspire instant insulation insurance integrate integration intelligence intensity intent
intercept interest interface international internet interval intuit intuition invention inventory investment island
issue item items ivory jacket jackets jade jaguar jam jar jasmine java jazz jet jewel job join joint journal journey
joy judge juice jump jungle junior juniper justice keen kernel kettle key keyboard keys keystone kids kind king
kingdom kiss kit kitchen kite knight knife knot know knowledge lab label lace ladder lady lake lamp lancer land
landmark language lantern laptop laptops large laser latest laugh launch laundry laurel law layer layla lead leader
leaf league lean leap learn leather leave left legacy legal legend leisure lemon lens lesson letter level lever
liberty library license lid life lift light lightning lightweight lily lime limit limited line linear lines link lion
lip liquid list listen listening live lively living load loan local location lock lodge logic long look loom loop
lotus love low loyal lucid luck lucky luggage luna lunar lunch luxe luxury lyric machine magic magnet magnolia magnum
mail main mainstay major maker making mall manage manager mango manner manual map maple marble march margin marine
mark market marketplace marvel mask mass master match mate material materials matrix matte matter mattress mattresses
max maximum meadow meal mean measure meat mechanism media medical medium meet melody member memory men mental menu
merchant mercury merit mesh message metal meteor meter method metro microphone mid middle midnight mighty mile miles
milestone milk mill million mind mine mineral mini mint minute mirror misfit mission mist mix mobile mode model models
modern module moisture moisturizer molten moment momentum money monitor monitors monkey monster month moon moral
morning mosaic moss mother motion motor mount mountain mouse mouth move movement movie movies moving museum mushroom
music musical mutual mystery mystic naked name narrow nation national native natural nature navigator navy neat neck
nectar negative neo nest net network neutral news niche night nimble ninja noble noise nomad nonstick noon normal
north northern note notebook notes notion nova novel novelty number nurse nutrition nylon oak oasis oat object
obsidian ocean octopus odyssey offer offers office official oil olive omega online onyx open opera operating opinion
opportunity optical option options oracle orange orbit orchard orchid order organic origin original osprey oven
overall overlook owl owner oxford oxygen pace pacific pack package packing paddle page paint pair palace palm pan
panda panel paper parachute parade paradigm paradise park part partner parts party pass passion past pasta patch path
patient patrol pattern pay payment payments peace peach peacock peak peanut pear pearl pebble pen pencil penguin
pepper perfect performance period perk permanent person personal pet phantom phase philosophy phoenix phone phones
photo phrase piano pick picks picnic picture piece pilot pine pink pioneer pipe pit pixel place places plain plan
plane planet plans plant plastic plate platform platinum play player playability playing pleasant plot plum pocket
podium poem poet point points polar policy polish pool pop poppy popular port portable portability portal portfolio
position positive post pot potential pottery pouch power powerful practical practice pragmatic precise precision
prefer premium present press pressure prestige price prices pricing prime primary prince print printer printers
printing priority prism privacy private prize pro problem process produce product products professional profile
program progress project prologue promise proof property pros prosper protect protection provider prudent public puff
puffy pulse pump pumpkin punch pure purple purpose pursuit push puzzle pyramid quality quantum quarter quartz queen
quest question quick quiet quip quite rabbit race racing radar radiant radio rain rainbow raise rally ram ranch range
rank rapid rate raven ray reach read reader ready reality reason rebel recipe recommend recommendation recommendations
record recovery red reed reef refresh refuge region reliability reliable relief remarkable remember remote rent
research reserve resident resin resolution resort resource response responsive rest restaurant result retail retailer
retailers return returns reveal reverb reverse review reviewed reviews revolution revolve reward rewards rhythm rice
rich ride ridge rifle ring rise rising river road robin robot robust rock rocket roll room rooms root rope rose rough
round route routine royal rubber ruby rule run runner running rush rust sable saddle safe safety saffron sage sail
saint salad sale salmon salon salt sample sanctuary sand sandal sapphire satellite satin satisfaction saturn sauce
save saving savings scale scene schedule scheme school science scope score scout scratch screen script sea seagull
seal search season seat second secret section secure security seed seek select selection self sell senior seniors
sense sensitive sentinel sentry sequoia serenity series serious service services set settings setup seven shade shadow
shape share shared shark sharp sheep shelf shell shelter shepherd shield shift shine ship shipping shirt shoe shoes
shop shopping shore short shot shoulder show shower shudder shuttle side sierra sigma sign signal signature silence
silent silk silver similar single siren site six size skill skin skip sky slack sleek sleep sleeper sleepers slice
slim slip slope slow small smart smile smoke smooth smoothie snack snap snow soap social society socket soft software
soil solar sole solid solution solutions sonic sort soul sound source south space spaces spark sparrow speaker
speakers special specs spectrum speed sphere spice spider spin spindle spine spiral spire spirit splash sponge spoon
sport sports spot spray spread spring sprint sprout square squash stability stable stack staff stage stainless stamp
stand standard staple staples star start starter starting state statement station status steady steam steel steep
stellar stem step steps stereo stick stitch stock stone stop storage store stores storm story straight strategy stream
streaming street strength stretch stride string strip stripe strong structure student students studio study style
stylish subject sublime subscription success sugar suit suitable suite summary summer summit sun sunday sunny sunrise
sunset super superb superior supply support supreme sure surf surface surprise sustainable swan sweet swift swim
swimwear swing switch sword symbol symphony system systems table tablet tag tail take talent talk tall tamper tandem
tango tap tape target task taste taylor tea team tech technical technology temperature template temple tempo tennis
tent term terra test texture thank theme theory thermal thing things think thread three thrive throne thunder ticket
tide tiger tight tile timber timeless tin tiny tip tips tissue titan title toast toaster token tomato tone tool tools
tooth toothbrush torch total totem touch tough tour tower town toy trace track tracker trade traditional trail trails
train training transfer transport trap travel traveler travelers treasure treat treatment tree trek trend trending
trial tribe trick trident trigger trim trip triple triumph tropical trouble true trunk trust truth tub tube tulip
tundra tune tunnel turbo turn turtle twin twist type typical ultimate ultra umbrella unique unit united unity
universal universe unlimited update upgrade urban usage user users usual valley value vanguard vanilla variety vault
vector vegetable velocity velvet vent venture versatile versatility version vertex vessel vest victor victory video
view village vine vintage vinyl violet virtue visible vision visit vista vital vitamin vivid voice volume vortex
voyage vulture wage wagon wait walk wall walnut want ward warm warmth warranty wash watch watches water waterproof
waterproofing wave wavelength weak wealth wear weather web weekend weekly weight welcome west western whale wheat
wheel wheels whisk whisper white wide width wild wilderness willow win wind window wine wing wings winner winter wire
wireless wisdom wise wish wolf woman women wonder wonderful wonders wood wooden wool word words work worker working
workout world worth wrap write yard year years yellow yield yoga young youth zen zenith zero zest zip zone zoom achse
adler alltag anker arbeit auge bahn baum berg bild blatt blick blume boden braun brot bruder brucke buch burg dampf
dorf eck edel ei eis ende engel erde fahrt familie farbe feder feld fenster feuer flug fluss frage frau freiheit
freund frisch fuchs garten gast gelb geld gesund gesundheit gewinn glas gluck gross grun gruppe hafen haus heim heimat
heiss herz himmel hof holz hund jager kaffee karte katze kern klar klasse klein koch konig kopf korb kraft kreis kreuz
kuche kunst lachs leben leicht licht liebe linie luft mann markt meer mensch messer milch mond morgen mutter mutig
nacht natur netz ort ost osten papier pferd platz preis punkt quelle rad raum recht regen reise rind rot ruhe salz
schatz schiff schloss schnell schule schwan schwarz see sicher sieger silber sohn sommer sonne sparen spiel spiegel
spitze stadt stark stein stern stille strand strasse strom stuck sturm tasse tausend tier tisch tochter tor traum
treue tur turm uhr ufer vater vogel volk wald wand wasser weg wein weiss welt werk wert wetter woche wolke wort wunder
wunsch zahl zeit zeichen ziel zimmer zucker zug zukunft ami amour ange annee arbre argent aube avenir beau beaute
blanc bleu bois bonheur bonjour bout bras bureau cadeau cafe carre centre chaine chaleur chambre champ chant chat
chateau chef chemin cheval chien choix ciel cle coeur confort conseil corps cote coup couleur cour cuisine dame deesse
dent depart doux eau echange ecole enfant envie equipe espace esprit etoile famille femme fer ferme fete feu feuille
fil fille fils fin fleur fleuve fond foret fou frais frere garcon gare genie gloire gout groupe guerre heure hiver
homme ile jardin jeu jeune joie joli jour juste lac lait legende lettre libre lien lieu ligne lit livre loi lumiere
lune maison marche mariage marque matin mer mere merveille monde montagne mot musee neige nez noir nom nord nuit objet
oeil oiseau ombre ouest ours ouvert pain paix papillon parfum parole pays peau pere petit peuple pied pierre plage
plaisir plein pluie poisson pomme pont porte pouvoir premier prix puissance reine reve rire robe roi rouge rue sante
sel soeur soir soleil sud sucre temps terre tete toit travail tresor univers verre vert vie vieux ville vin vite voie
voix vol vrai vue abierto agua aire alegria alma alto amanecer amigo amor ano arbol arte azul banco barco bello blanco
boca bosque bueno caballo cabeza calidad calle calor camino campo canto cara carta casa castillo centro cerca cielo
ciudad clave cocina corazon corte costa cuadro cuerpo dia dinero dulce duro edad energia enlace escuela espacio
esperanza estilo estrella familia feliz fiesta flor fresco fruta fuego fuente fuerte fuerza futuro gato gente gloria
gracia gran grande grupo guia hijo hogar hoja hombre hora huella isla joven juego justo lado lago leche lengua leon
letra libro linea llave luz madre mano mapa mar marca mercado mesa mujer mundo musica negro nieve nino noche nombre
norte nube nuevo oro padre palabra papel parte paso paz perro pez piedra piel plata playa plaza poder precio primero
principe pueblo puente puerta puerto punto rapido rayo razon reina reloj rey rico rio ritmo rojo ropa rosa rueda sabor
salud santo seguro selva senal sol sombra sueno tarde tiempo tienda tierra torre trabajo valle vela verano verdad
verde viaje vida viento vino viva vivo voz vuelo acqua albero amico amore anima anno aperto aria azzurro bambino banca
bella bianco bosco buono calore cane castello cavallo citta colore conto corpo corso cucina cuore dolce donna famiglia
fede felice ferro festa fiamma figlio filo fiore fiume foglia fonte forma forte forza freddo frutta fuoco gatto gioco
gioia giorno giovane giro gusto isola latte lavoro legno lente libero luce lupo mappa mare mattina mente mercato mondo
monte mosaico natura nave nebbia neve nome notte numero nuovo occhio ombra onda orso paese pane parola passo pelle
persona pesce piazza piede pietra pioggia ponte porta posto prezzo primo re regina riso rosso salute scuola segno sera
sicuro sogno sorriso spazio stella stile storia strada testa tetto treno uccello uomo uva vento vero viaggio vita volo
abelha amanha ar areia arvore asa beleza brasa bravo brilho cabeca cachorro caminho castelo caro cavalo ceu chave
chuva cidade coisa cor coracao dinheiro doce escola espaco esperanca estrela filho fogo folha forca ideia ilha inverno
janela jardim jogo jovem lar leao leite livro lua mae mao mel montanha mulher natureza navio nobre noite novo nuvem oi
olho ouro pao pai palavra pedra peixe pele perto ponto porto povo praca praia prata preco primeiro rainha raio raiz
rede rei relogio rua sal saude seda segredo sabia sino sonho sorte tesouro tigre trabalho valor verao verdade viagem
vila vinho voo
""".split()  # noqa: SIM905
)
