"""What two friends say to each other, and what one later asks about it: sentences of our own with slots.

A topic's statements and questions were written apart, so that a question repeats some of a statement's words and
paraphrases the rest, as people do. `{me}` is the speaker, `{you}` the other one, `{name}` whom a question is about.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One kind of fact. `asked` and `short` are the elliptical way to say it: the other asks, the answer is a scrap."""

    key: str
    group: str
    """Facts of one group and person can be asked for together ("What hobbies ...")."""
    values: tuple[str, ...]
    statements: tuple[str, ...]
    asked: tuple[str, ...]
    short: tuple[str, ...]
    questions: tuple[str, ...]
    when: tuple[str, ...] = ()
    """Questions for the date of the event; empty for what has no date."""
    reactions: tuple[str, ...] = ()


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|") if part.strip())


def _topic(
    key: str,
    group: str,
    values: str,
    statements: str,
    asked: str,
    short: str,
    questions: str,
    when: str,
    reactions: str,
) -> Topic:
    return Topic(
        key=key,
        group=group,
        values=_split(values),
        statements=_split(statements),
        asked=_split(asked),
        short=_split(short),
        questions=_split(questions),
        when=_split(when),
        reactions=_split(reactions),
    )


TOPICS: tuple[Topic, ...] = (
    _topic(
        "class",
        "hobby",
        "pottery | salsa | watercolour | bouldering | archery | ukulele | calligraphy | fencing",
        "I signed up for a {v} class {when}, and honestly it calms me down like nothing else | {When} I had my first "
        "{v} lesson! I was all thumbs but the teacher was kind | Guess who finally tried {v}? Went along {when} and "
        "loved every minute",
        "So did you end up picking a course at the community centre? | What was that evening thing you were going to try?",
        "{v}! Started {when} | The {v} one, {when}",
        "Which course did {name} take up to relax? | What new skill has {name} started learning? | What kind of lessons "
        "does {name} attend?",
        "When did {name} begin taking {v} lessons? | When was {name}'s first time at {v}?",
        "{v} sounds like so much fun, I could never! | Ooh, will you show me something from it one day?",
    ),
    _topic(
        "pet",
        "animal",
        "a tabby kitten | a rescue greyhound | a parrot | two guinea pigs | a tortoise | a husky puppy",
        "We brought home {v} {when}! The house is upside down | {When} I finally adopted {v}, my heart is melting | Big "
        "news, there's {v} living with us since {when}",
        "Wait, what's that noise in the background? | Did the shelter call you back?",
        "Haha, that's {v}, arrived {when} | Yes! {v}. {When}",
        "What animal did {name} welcome into the family? | Which pet does {name} have? | What companion did {name} get "
        "from the shelter?",
        "When did {name} get {v}?",
        "Aww, send me pictures! Does it sleep at all? | So cute! Have you thought of a name?",
    ),
    _topic(
        "trip",
        "place",
        "Lisbon | the Dolomites | Kyoto | the Norwegian fjords | Oaxaca | Marrakesh | the Scottish Highlands | Tallinn",
        "We got back from {v} {when} and I am still dreaming about it | {When} my sister and I flew to {v} for a few "
        "days, best decision ever | I spent some time in {v} {when}. The light there is unreal",
        "You look so tanned! Where have you been hiding? | Where did you run off to for your birthday?",
        "{v}, got back {when}! | Just {v}, {when}. Needed it",
        "Where did {name} travel with family? | Which destination did {name} visit on holiday? | What place abroad has "
        "{name} been to?",
        "When did {name} visit {v}? | When was {name}'s vacation in {v}?",
        "Jealous! I've wanted to go for years. What did you eat? | That must have been stunning. Any photos?",
    ),
    _topic(
        "volunteer",
        "cause",
        "the animal shelter | a homeless kitchen | the youth centre | a river clean-up | the public library | a hospice",
        "I helped out at {v} {when}, and it put things in perspective | {When} I gave my first shift at {v}. Hard but "
        "so rewarding | Been thinking about giving back, so {when} I joined the people at {v}",
        "Why were you so worn out when I rang? | Are you still doing that charity thing?",
        "Long shift at {v}, {when} | Yep, at {v}. Last one was {when}",
        "Where does {name} do volunteer work? | What charity effort has {name} taken part in? | How does {name} support "
        "the community?",
        "When did {name} volunteer at {v}?",
        "You have such a big heart. The world needs more of that | How did it feel? I bet people were grateful",
    ),
    _topic(
        "job",
        "career",
        "a bakery | an architecture studio | the city museum | a game company | a law firm | the harbour office",
        "I got the offer from {v} {when}! Hands were shaking when I read it | {When} I handed in my notice, I'm moving "
        "to {v} | So... {when} was day one at {v}, and my badge photo is awful",
        "How did the interview go?? | Any word from those people you applied to?",
        "They said yes! {v}, since {when} | Got it. {v}. Signed {when}",
        "Where did {name} find a new position? | Who is {name}'s current employer? | What career change did {name} make?",
        "When did {name} start working at {v}? | When did {name} accept the job with {v}?",
        "Congratulations!! You earned it | Wow, huge step. How are the colleagues?",
    ),
    _topic(
        "race",
        "sport",
        "a half marathon | a triathlon | a charity bike ride | an open-water swim | a trail run",
        "{When} I finished {v}! Legs are jelly but I made it | I did {v} {when}, slower than planned, happier than "
        "planned | Crossed the line of {v} {when} with rain in my face",
        "Why are you limping? | What's the medal on your shelf?",
        "{v}, {when}. Ouch | That's from {v}, {when}",
        "What endurance event did {name} complete? | Which athletic challenge has {name} taken on? | What competition "
        "did {name} run in?",
        "When did {name} take part in {v}?",
        "You're a machine! How long did you train? | Proud of you! I get tired on the stairs",
    ),
    _topic(
        "book",
        "culture",
        "a biography of Ada Lovelace | a novel about lighthouse keepers | The Left Hand of Darkness | a history of salt | "
        "Piranesi | a book on bees",
        "I finished reading {v} {when} and could not put it down | {When} I stayed up till three with {v} | A friend "
        "lent me {v}; I read the end of it {when} and cried",
        "What's got you so quiet these days? | Any tips for the plane? I need something to read",
        "{v}. Finished it {when} | Try {v}, I read it {when}",
        "What has {name} been reading? | Which story kept {name} awake at night? | What title did {name} recommend?",
        "When did {name} finish reading {v}?",
        "Adding it to my list! Was the ending good? | I love when a book takes over your life",
    ),
    _topic(
        "concert",
        "culture",
        "a jazz trio | a string quartet | Summer Static | a gospel choir | the Paper Foxes | an organ recital",
        "{When} we saw {v} live, I still have goosebumps | I had tickets for {v} {when}, what a night | Went to hear "
        "{v} {when}. Lost my voice singing along",
        "You sound hoarse, are you ill? | What did you do with the spare ticket?",
        "No, I saw {v} {when}, screamed a lot | Took my brother to {v}, {when}",
        "Which musicians did {name} see perform? | What live show did {name} attend? | What band has {name} gone to hear?",
        "When did {name} go to the show of {v}?",
        "Live music is the best medicine! | I wish I had been there. Did they play long?",
    ),
    _topic(
        "health",
        "health",
        "a sprained wrist | a migraine | back pain | a nasty cough | a torn ligament | food poisoning",
        "I've been dealing with {v}, the doctor saw me {when} | {When} I ended up at the clinic with {v}. Not my finest "
        "hour | Sorry for the silence, {v} knocked me out {when}",
        "You cancelled! Is everything all right? | Why the bandage and the sad face?",
        "{v}. Doctor {when} | Ugh, {v}, since {when}",
        "What health problem did {name} suffer from? | Why did {name} need to see a physician? | What injury or illness "
        "has {name} had?",
        "When did {name} go to the doctor with {v}?",
        "Oh no! Please rest. Do you need anything? | Poor you, get well soon",
    ),
    _topic(
        "garden",
        "home",
        "tomatoes | a fig tree | lavender | sunflowers | a raised herb bed | climbing roses",
        "I planted {v} in the yard {when}, fingers crossed | {When} I was on my knees in the dirt putting in {v} | My "
        "balcony is a jungle now: {v} went in {when}",
        "What's all that mud on your boots? | Did you do anything with the empty corner outside?",
        "Planted {v}, {when}! | {v}! Went in {when}",
        "What is {name} growing at home? | What did {name} plant outdoors? | Which greenery has {name} added to the "
        "garden?",
        "When did {name} plant {v}?",
        "Green fingers! Mine only ever kill cactuses | I can smell summer already",
    ),
    _topic(
        "dish",
        "food",
        "ramen from scratch | a lemon tart | dumplings | sourdough | paella | lentil soup with cumin",
        "I cooked {v} {when} and nobody spoke for ten minutes | {When} I tried making {v}, the kitchen looked like a "
        "crime scene | My grandmother's recipe worked: {v} {when}, and there was nothing left",
        "What smells so good in that video you sent? | What did you bring to the potluck?",
        "{v}! Made it {when} | {v}, {when}. Gone in minutes",
        "What meal did {name} prepare? | Which recipe did {name} try out in the kitchen? | What has {name} baked or cooked "
        "lately?",
        "When did {name} make {v}?",
        "You have to invite me next time, I'm drooling | I would have eaten it all",
    ),
    _topic(
        "gift",
        "possession",
        "a silver necklace | a vintage camera | a hand-knit scarf | a signed poster | a telescope | a leather notebook",
        "My aunt gave me {v} {when}, it means so much | {When} a parcel came with {v} inside, from grandma | I got {v} as "
        "a present {when}, I was speechless",
        "Is that new? It suits you | What was in the box?",
        "Yes! {v}, got it {when} | {v}! Came {when}",
        "What present did {name} receive? | Which treasured object was given to {name}? | What does {name} own that came "
        "from a relative?",
        "When was {name} given {v}?",
        "That's so thoughtful! Treasure it | What a lovely keepsake, there must be a story",
    ),
    _topic(
        "family",
        "family",
        "my brother's wedding | my niece's christening | my parents' anniversary | a family reunion | my cousin's "
        "graduation",
        "{When} we had {v}, everyone was there and everyone danced | I'm still recovering from {v} {when} | We celebrated "
        "{v} {when}; dad's speech made us all weep",
        "You were offline for days, what happened? | Why were you so dressed up?",
        "{v}, {when}! | It was {v}, {when}",
        "What family occasion did {name} celebrate? | Which gathering did {name} go to with relatives? | What celebration "
        "brought {name}'s family together?",
        "When was the celebration that {name} attended with relatives?",
        "Families are chaos and love in one room | How beautiful! Was there cake?",
    ),
    _topic(
        "repair",
        "home",
        "the boiler | the roof | my old car | the washing machine | the kitchen floor",
        "{When} {v} broke down and ate my savings | I had to get {v} fixed {when}, what a headache | The plumber, the "
        "electrician, everyone came {when} because of {v}",
        "Why do you look so stressed? | What ate all your money this month?",
        "{v} broke {when} | {v}. {When}. Don't ask",
        "What did {name} have to get repaired? | Which breakdown cost {name} money? | What household trouble did {name} "
        "run into?",
        "When did {name} have trouble with {v}?",
        "Adult life is one bill after another | Ugh, at least it's done now",
    ),
    _topic(
        "fear",
        "feeling",
        "public speaking | flying | failing my exam | deep water | being alone in the new town",
        "If I'm honest, {v} scares me, I noticed it again {when} | {When} I froze completely; {v} gets to me every time | I "
        "talked to a therapist {when} about {v}",
        "You seemed tense, what's on your mind? | Do you want to talk about it?",
        "{v}, as always. Bad one {when} | Mostly {v}. It came back {when}",
        "What is {name} afraid of? | What makes {name} anxious? | Which worry did {name} share?",
        "",
        "Thank you for telling me. You're braver than you think | I get that, I felt it too for years",
    ),
    _topic(
        "plan",
        "plans",
        "open a small café | move to the coast | write a children's book | foster a dog | train as a nurse | build a cabin",
        "I've made up my mind {when}: I want to {v} | {When} I told mum that I'm going to {v} and she laughed, then hugged "
        "me | My dream is to {v}. I started a savings jar {when}",
        "So what's next for you? | If money was no question, what would you do?",
        "Honestly? {v}. Decided {when} | I'd {v}. Told mum {when}",
        "What does {name} hope to do in the future? | What goal is {name} working towards? | What ambition did {name} talk "
        "about?",
        "When did {name} decide to {v}?",
        "Do it! Life is too short | I can see you doing that, I really can",
    ),
    _topic(
        "art",
        "hobby",
        "a sunset over the lake | a portrait of my mother | a wooden owl | a mural for the school | a patchwork quilt",
        "I finished {v} {when}, it took weeks | {When} I put the last touch to {v} and hung up my apron | Look, {v} is done "
        "since {when}! Not perfect but mine",
        "What have you been making in your studio? | What's hiding under that cloth?",
        "{v}! Done {when} | It's {v}, finished {when}",
        "What artwork did {name} create? | What did {name} make with their own hands? | Which creative piece has {name} "
        "completed?",
        "When did {name} complete {v}?",
        "That's gorgeous, you should sell those | The colours! How do you do that?",
    ),
    _topic(
        "friend",
        "people",
        "Tomas | Ingrid | Mr Okafor | Leila | cousin Bea | old Walt",
        "I ran into {v} {when} and we talked for hours | {When} {v} came by with wine and gossip | I made up with {v} {when} "
        "after all that silence",
        "Who was that in your story? | Did you have company?",
        "{v}! Met {when} | Yes, {v}, {when}",
        "Who did {name} spend time with? | Which acquaintance did {name} meet again? | Whom did {name} reconcile with?",
        "When did {name} meet {v}?",
        "Good friends are worth gold | I haven't heard that name in ages!",
    ),
    _topic(
        "nature",
        "place",
        "a meteor shower | a pod of dolphins | wild horses | the northern lights | a waterfall in the woods",
        "{When} we saw {v} and I forgot to breathe | I hiked out {when} and came upon {v} | The kids woke me {when} to look at "
        "{v}, magical",
        "What was the highlight of the camping weekend? | You sounded so excited in that voice message!",
        "{v}! {When} | We saw {v}, {when}",
        "What natural wonder did {name} witness? | What did {name} see outdoors that was breathtaking? | Which sight impressed "
        "{name}'s children?",
        "When did {name} see {v}?",
        "Moments like that stay with you for ever | Nature is the best show there is",
    ),
    _topic(
        "game",
        "hobby",
        "chess | a space strategy game | mahjong | a fantasy role-playing game | table tennis",
        "I won a tournament in {v} {when}! | {When} we played {v} until the neighbours complained | I'm hooked on {v} since "
        "{when}, send help",
        "What do you do on rainy evenings? | Why are there dark circles under your eyes?",
        "{v}... since {when} | {v} till four, {when}",
        "What does {name} play for fun? | What contest did {name} win? | Which pastime keeps {name} up late?",
        "When did {name} play in the tournament of {v}?",
        "Teach me! I'm terrible but eager | Ha, competitive as ever",
    ),
    _topic(
        "study",
        "career",
        "psychology | marine biology | sign language | accounting | data science | midwifery",
        "I enrolled in {v} {when}, back to school at my age | {When} my application for {v} went through | I passed the first "
        "exam in {v} {when}, with cake afterwards",
        "What are all those books on your desk? | Did you hear from the university?",
        "{v}! Enrolled {when} | I'm in! {v}. Heard {when}",
        "What subject is {name} studying? | Which field did {name} choose for further education? | What degree is {name} "
        "pursuing?",
        "When did {name} enrol in {v}?",
        "That suits you perfectly | Look at you, student! I'm impressed",
    ),
    _topic(
        "shop",
        "possession",
        "an electric bike | a red sofa | hiking boots | a second-hand piano | a sewing machine | noise-cancelling headphones",
        "I bought {v} {when} and regret nothing | {When} {v} arrived, took three people to carry the box | I treated myself to "
        "{v} {when} after the bonus",
        "What did you do with your bonus? | Did the sale have anything good?",
        "{v}. {When}. No regrets | Got {v}, {when}",
        "What did {name} purchase? | Which expensive item did {name} treat themselves to? | What did {name} spend the bonus on?",
        "When did {name} buy {v}?",
        "You deserve it! | Ooh, can I try it?",
    ),
)

GREETINGS = _split(
    "Hey {you}! Long time no see, how are you? | Hi there, good to hear from you! What's new? | Hey, how have you been? | "
    "Morning! Got a minute? | Hey, it's been a crazy few days here"
)
REPLIES = _split(
    "Hey! All fine, a bit tired. You? | Hi! Busy as always with work and the kids | So good to talk again. "
    "Things are up and down | Hello {you}! Doing great, thanks for asking"
)
CHAT = _split(
    "Totally agree, it's the small things that count | That's so true, thanks for being there for me | Work has been a lot, I "
    "barely get out | The weather here is awful, rain again | I really needed to hear that, thank you | Haha, you always make me "
    "laugh | How do you keep up with everything? | It's been a journey, but I'm getting there | What do you like most about it? | "
    "Take care of yourself, okay? | My week was long, I just want to sleep | We should catch up in person soon | That's inspiring, "
    "keep going | I know what you mean, family comes first | Do you have anything planned for the weekend? | Nothing special, some "
    "cleaning and a film | The kids are growing so fast, it's scary | I miss the old days sometimes | I've been learning to say no | "
    "Sounds like you have good people around you | I feel lucky to have you as a friend | Did you sleep at all? | Let me know how it "
    "goes! | Wow, that's amazing! | Oh, I love that | One step at a time, right? | I'm proud of how far you've come | Music always "
    "helps me when I'm down | I try to walk a little every day | The new neighbours are loud, but nice | Coffee first, then the world | "
    "Thanks, that means a lot | The dentist appointment was moved again | My boss wants the report by Friday, as if | "
    "I forgot my umbrella on the bus, of course | We watched an old comedy and fell asleep | The little one drew on the wall again | "
    "I should call my parents more often | Traffic was terrible on the way home | Sometimes a quiet evening is all I need | "
    "The farmers' market had the best peaches | I lost my keys and found them in the fridge | Our team won, finally | "
    "I'm thinking of repainting the hall | The training at the office was dull | You'd love the new tea place | "
    "I started writing down three good things a day | My phone battery dies by noon | Can't believe the year is half over | "
    "It helps to talk about these things | I have so much respect for you"
)
GOODBYES = _split(
    "Got to run, talk soon! | Bye for now, take care! | Have to get the kids, speak soon! | Thanks for the chat, bye!"
)
COMING_BACK = _split(
    "By the way, how is it going with {v}? | I told my sister about {v}, she was all ears | I keep thinking about {v}, to be honest "
    "| Any more news about {v}?"
)
STILL_GOOD = _split(
    "All good there, thanks for asking! | Ha, that's a long story for another day | Better than I hoped | Slowly, but I'm happy"
)
NEAR = {
    "class": "Which class did {name} sign up for? | What did {name} have a first lesson in? | What has {name} finally tried at "
    "the community centre? | How does {name} feel about the {v} teacher?",
    "pet": "Who did {name} bring home and adopt? | What animal is living with {name} now? | Why is {name}'s house upside down? | "
    "What happened when {name} adopted {v}?",
    "trip": "Where did {name} fly with a sister? | What place is {name} still dreaming about? | Who did {name} go to {v} with? | "
    "What did {name} say about the light in {v}?",
    "volunteer": "Where did {name} help out to give something back? | At which organisation did {name} do a hard but rewarding "
    "shift? | Why did {name} start helping at {v}? | What put things in perspective for {name}?",
    "job": "Who sent {name} a job offer? | Where did {name} move after handing in the notice? | What was {name}'s first day at {v} "
    "like? | How did {name} react to the offer from {v}?",
    "race": "What race did {name} finish with rain in the face? | Which medal does {name} have from crossing the finish line? | How "
    "did {name} feel after {v}? | What made {name}'s legs so tired?",
    "book": "What did {name} read until three in the night? | Which book did a friend lend to {name}? | What did {name} think of "
    "{v}? | What was {name} reading and could not put down?",
    "concert": "Who did {name} hear live? | What did {name} have tickets for? | How did {name} like {v}? | Where did {name} lose "
    "the voice from singing?",
    "health": "What took {name} to the clinic? | Why was {name} silent, what knocked them out? | Who treated {name} for {v}? | What "
    "did the doctor see {name} for?",
    "garden": "What did {name} plant in the yard? | What makes {name}'s balcony a jungle? | Where did {name} put the {v}? | What was "
    "{name} doing on the knees in the dirt?",
    "dish": "What did {name} try making that left the kitchen a mess? | Which of grandmother's recipes worked for {name}? | How did "
    "people like the {v} of {name}? | What did {name} cook so that nobody spoke?",
    "gift": "What came in the parcel for {name}? | What did {name}'s aunt give as a present? | Who gave {name} {v}? | What present "
    "left {name} speechless?",
    "family": "Which celebration is {name} still recovering from? | When everyone in {name}'s family danced, what was it? | What did "
    "{name}'s dad do that made all weep? | How was {v} for {name}?",
    "repair": "What broke down and ate {name}'s savings? | Why did {name} need a plumber and an electrician? | What did {name} get "
    "fixed? | What was the headache with {v} that {name} had?",
    "fear": "What scares {name}? | What did {name} talk about with a therapist? | What makes {name} freeze? | How does {name} cope "
    "with {v}?",
    "plan": "What did {name} tell mum about the future? | What dream has {name} a savings jar for? | Why does {name} want to {v}? | "
    "What has {name} made up the mind to do?",
    "art": "What did {name} finish that took weeks? | What did {name} hang up the apron after? | How long did {name} work on {v}? | "
    "What is done and not perfect but {name}'s own?",
    "friend": "Who did {name} run into and talk to for hours? | Who came by {name}'s with wine? | What did {name} and {v} talk "
    "about? | Who did {name} make up with after the silence?",
    "nature": "What did {name} come upon on a hike? | What did {name}'s kids wake everyone up for? | How did {name} feel on seeing "
    "{v}? | What did {name} see and forget to breathe?",
    "game": "In what did {name} win a tournament? | What did {name} play until the neighbours complained? | What is {name} hooked "
    "on? | Who does {name} play {v} with?",
    "study": "In which field did {name} enrol? | What did {name} pass the first exam in? | Why did {name} apply for {v}? | Which "
    "application of {name}'s went through?",
    "shop": "What did {name} buy without regret? | What arrived at {name}'s in a big box? | What did {name} treat themselves to after "
    "the bonus? | Where did {name} get {v}?",
}
LISTS = {
    "hobby": "What hobbies does {name} have?|What does {name} do to unwind?",
    "place": "Which places has {name} been to?|What has {name} experienced while travelling and outdoors?",
    "culture": "What books and concerts has {name} enjoyed?|What kind of culture does {name} like?",
    "career": "How has {name}'s professional life developed?|What steps did {name} take in work and education?",
    "possession": "What things has {name} acquired?|Which items does {name} own?",
    "home": "What has {name} dealt with around the house and garden?|What is going on at {name}'s home?",
}
MOMENTS = (
    (0, "today"),
    (0, "this morning"),
    (1, "yesterday"),
    (1, "last night"),
    (2, "two days ago"),
    (3, "a few days ago"),
    (7, "last week"),
    (5, "last weekend"),
    (14, "two weeks ago"),
    (30, "last month"),
)
NAMES = _split(
    "Nadia | Marcus | Elena | Tobias | Priya | Callum | Yuki | Samira | Jonah | Freya | Diego | Hana | Oscar | Miriam | Luca | Zoe"
)
