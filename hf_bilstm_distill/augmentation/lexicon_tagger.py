"""A part-of-speech tagger for English that needs nothing but this file: word lists, endings, a few rules of context.

It is made for replacing words by others of their kind: fast, and good enough. benchmarks/taggers.py compares it with
others.
"""

import functools
import re
from collections.abc import Callable

# The lexicon. Closed classes are whole; of nouns, verbs, adjectives and adverbs there stand the frequent ones whose
# endings mislead or say nothing. Where two tags stand with a bar between them, the neighbours decide (`_SETTLE`).
_LEXICON = {
    word: tag
    for tag, words in {
        # Closed classes.
        "DT": "a an the this these those each every some any no another either neither all both",
        "PRP": """i you he she it we they me him us them myself yourself himself herself itself ourselves yourselves
            themselves mine yours hers ours theirs oneself ya 'em thee thou ye""",
        "PRP$": "my your his her its our their thy",
        "IN": """aboard about above across after against along alongside although amid among amongst around as at atop
            because before behind below beneath beside besides between beyond by concerning despite during except for
            from if in inside into lest like near notwithstanding of on onto outside over per regarding since than that
            though through throughout till toward towards under underneath unless unlike until upon versus via vs
            whereas whether while with within without""",
        "TO": "to",
        "CC": "and or but nor plus & n and/or",
        "MD": "can could may might will would shall should must ought ca wo 'll 'd",
        "WDT": "which whichever",
        "WP": "what who whom whoever whatever whomever",
        "WP$": "whose",
        "WRB": "when where why how whenever wherever whence whereby",
        "EX|RB": "there",
        "RP": "up off out",
        "UH": "oh hey wow ah hello hi ugh hmm alas yeah gosh hurrah bravo",
        "CD": """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
            seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
            billion""",
        "POS|VBZ": "'s",
        "POS": "'",
        # Nouns whose ending says something else.
        "NN": """% accident acting adrenaline advertising agent ally alternative animal anniversary anyone anything
            appraisal approval archive arrival assembly assistant attorney award baby bass bearing bed beginning belly
            betrayal bible blessing body boundary boy buddy building bully burial cable candy cannibal canvas casting
            category ceiling cent ceremony chaos christmas clay client clinic clothing colony comedy commentary company
            content continent controversy courtesy criminal critic cuisine custody daddy darling day denial descent
            destiny detective diary dictionary discipline disguise dish disposal doctrine documentary ecstasy elephant
            ending engine enterprise epic essay evening event everyone everything exercise expertise extent fable fabric
            family fantasy father feeling festival filming filmmaking fish folly franchise gas gathering giant glory
            goal guy guys harmony heroine history hobby hockey home honey hospital hypocrisy immigrant incident
            individual infant irony italy itinerary ivy jelly journal journey joy july key kidney king laboratory lady
            lens library line lobby logic machine magazine magic material meaning mechanic medal medicine melancholy
            memory merchant metal money monkey monopoly morning motive moviemaking music nanny narrative native navy
            noise nothing number objective offering olive outing pacing painting panic pant paradise parent parody
            participant party penny percent perspective picnic pine plant polish portrayal precedent premise president
            prize proposal public publish refusal remedy removal representative republic restaurant revival rhetoric
            ring ritual rival routine scandal scent screenwriting secretary servant setting sibling signal size sky
            someone something spring spy story storytelling string student summary survival table talent territory
            testimony texas thanks theory therapy thing timing today topic toy traffic tragedy training trial turkey
            understanding valley vandal variable vegetable viewing vine way wedding whiskey whisky wine wing writing
            yesterday""",
        "NNS": "children people men women teeth feet mice lives leaves movies",
        "NN|JJ": """american british french german italian spanish chinese japanese russian european english african
            mexican indian irish jewish christian canadian israeli iranian korean""",
        # Verbs that are seldom anything else.
        "VB|NN": """accept achieve acknowledge acquire adapt add admit adopt agree allow amuse annoy apologize appear
            apply appreciate arise arrive ask assume attend attract avoid bear become begin behave believe bog borrow
            breathe bring build buy carry celebrate choose collect combine come compare compete confirm confuse connect
            consider constitute contain continue contribute convert convey convince cope crank create decide defend
            define deliver deny depend depict derive descend describe deserve destroy develop die differ disappear
            discover dislike distinguish distract divide earn eat eliminate embody emerge employ enable encourage endure
            engage enhance enjoy enrich ensure enter entertain establish evaporate evoke evolve exaggerate examine
            exceed exist expect explain exploit explore extend fail fall fascinate feel fill find follow forge forget
            forgive gather generate get give go grab grow happen hear hide hurt identify ignore illustrate imagine imply
            impress improve include indicate indulge inhabit insist inspire instill intend intrigue introduce invent
            investigate invite involve irritate join justify keep kill know lead learn let linger listen live lose lure
            maintain make manage manipulate marry mean meet mention obtain occur offend overcome overwhelm participate
            pay penetrate perform persist persuade portray possess prefer prepare preserve pretend prevent proceed
            promote protect prove provide provoke pull pursue put raise reach read realize recall receive recognize
            recommend redeem reduce refuse reinforce reject relate rely remain remember remind remove render require
            resemble resist resolve resonate resort respond restore retain reveal satisfy save say scare see seek seem
            sell send serve settle shake shave shed sing sink sit solve speak spend spoil squander stand startle stay
            steal strengthen strive stumble succeed suck suffer suggest summon suppose survive sustain swallow tackle
            take teach tell tempt tend think throw tolerate transcend transform translate undergo undermine understand
            unfold unite utilize vary wander want weave withstand write""",
        # Nouns and verbs alike.
        "NN|VB": """act answer appeal approach attack attempt balance base beat benefit bite blame blend blow board
            boost bore bother break burn burst bust call capture care cast catch cause challenge change charge charm
            chase cheat check chill claim click climb comfort command comment compromise concern conflict contact
            contrast control cook copy cost count cover crack crash crawl cross crush cry cut damage dance dare date
            debate delay delight demand design desire detail display dive doubt drag draw dream dress drift drink drive
            drop drown echo edge effect embrace encounter end escape exchange excuse exit experience express eye face
            fade favor fear feature feed fight figure finish fire fit fix flash flaw flow fly focus force form frame
            fuel function fund gain gaze glance glimpse gloss grant grasp grip guess guide halt ham handle hang harm
            hate haunt heal heat help highlight hint hit hold honor hope hunt hurry impact import increase influence
            insult interest issue jar joke jolt judge jump kick kiss knock label labor lack land laugh launch leap leave
            leaven lie lift light limit link look love march mark match matter measure mix mock move murder name need
            nod note notice object offer open order pace pack paint pass peek phone photograph pitch place plague plan
            play pleasure plunge point poke pose power praise present preview probe process produce profit program
            progress project promise pump punch push quest question quote race rage rain ramble rank rant rate reason
            rebel record reflect refresh regard regret reign release relish remake repeat reply report request rescue
            research rest result retread return reward ride rise risk rock roll root ruin rule run rush sacrifice satire
            savor scale score scratch scream search sense set shame shape share shift shine shock shoot shout show shrug
            shut sigh sign skip slam slap sleep slide slip slog smell smile snap snore soar sound spark spin split spoof
            spot spread squeeze stab stage stare start state step stick stir stop storm strain stretch strike strip
            struggle study stuff style suit supply support surge surprise swing swipe switch talk target taste tease
            test thank thrill tie toss touch tour track trade trail train transport trap trash travel treat trick trip
            triumph trouble trust try turn twist type use value veer view visit voice vote walk warn wash waste watch
            wave wear weep weight welcome whisper win wink wish wonder work worry worship wound wrap yield""",
        "VB": "be",
        "VBP": "am are 're 'm 've ai",
        "VBP|VB": "have do",
        "VBZ": "is has does",
        "VBZ|NNS": "likes",
        # Irregular verbs.
        "VBD": """arose ate became began blew broke came chose did drank drew drove fell flew forgave forgot froze gave
            grew hid knew mistook overcame ran rode rose sang sank saw shook shrank spoke sprang stole swam swore threw
            took tore was went were withdrew woke wore wrote""",
        "VBN": """arisen beaten been begun bitten blown born borne broken chosen done drawn driven eaten fallen flown
            foregone forgiven forgotten frozen given gone gotten grown hewn known mistaken proven rendered ridden risen
            seen sewn shaken shorn shown spoken stolen sung sunk sworn swum taken thrown torn undone withdrawn woken
            worn woven written""",
        "VBD|VBN": """bent bought brought built burnt caught clung crept dealt dreamt dug dwelt felt flung fought found
            got had heard held hung kept knelt leapt learnt left lent lit lost made meant met misunderstood overheard
            paid said sat sent slept slid slung sold sought spent spun stood struck strung stuck stung swept swung
            taught thought told understood wept withheld won wrung""",
        # Adjectives whose ending does not say so.
        "JJ": """able abrupt absolute absorbing absurd accurate acute adept adequate adverse affecting affectionate
            afraid aged agile airy amateur amazing ample amusing angry animated annoying antique appealing appropriate
            apt asleep assured austere awake aware bad bare beloved big bipolar bitter bizarre black blah bland bleak
            blessed blue blurry bold bored boring brave brief bright brisk broad brown bubbly calm candid captivating
            certain challenging charming cheap chilling chilly civil clean clear clever cold comic compassionate
            compelling complete complex complicated concise concrete confusing contrived convincing convoluted cool
            corporate corrupt costly crass crisp crowded crude cruel curly cute daily daring dark dated dead deadly
            deadpan deaf dear dedicated deep deft delicate demanding dense depressing desperate detailed dim direct
            disappointing dishonest distinct disturbing diverse double drab dreamy drunk drunken dry due dull dumb eager
            earnest edgy elaborate elder elderly embarrassing empty endearing enduring engaging entertaining evil exact
            exciting exhilarating existing exterior extreme faint fair false familiar fancy fascinating fat few fifth
            firm first flat flawed florid fluid fond foreign former fortunate foul fourth fragile frank fresh friendly
            frustrating full futile gentle gifted glad gloomy golden good grand grating great green grim gripping gross
            harsh haunting heartbreaking heartwarming heated hidden holy honest hostile hot huge human humble hungry
            hybrid immature immediate immense inaccurate inadequate inappropriate inept infantile inferior inner insane
            insipid inspired inspiring insulting intact intense interesting interior intimate intricate intriguing
            invigorating irritating jaded jagged jolly juicy junior juvenile keen lacking lame last lasting latter lax
            lean legit legitimate likely limited linear literate little lively lonely loose loud lovely loving lurid
            lush mad main major mature meager mere mid mighty mild minimalist minor misguided mobile modern modest moist
            monthly morbid muddled mundane mute naked narrow naughty neat new next nice noble nuclear numb nutty obscure
            odd oily old ornate other outdated outer outstanding overblown overlong overwhelming overwrought own
            passionate past perfect perverse pink plain pleasing polite poor precise premature prime prior private
            profound promising prompt prone proper pseudo puerile pure quaint quick quiet racist random rapid rapt rare
            raw red refreshing related remote retro rewarding rich rigid ripe riveting robust rotten rough rousing rude
            rugged sacred sad safe same sane satisfying saucy scarce secure senior separate serene severe shallow sharp
            sheer short shrewd sick silly similar simple sincere single sinister slack slender slick slight slim slow
            sly small smart smooth smug sober sobering soft soggy solar sole solemn solid solo somber sophisticated
            sordid sore sorry sour spare sparse spicy splendid sprawling stale stark steep stellar stiff strange strict
            striking strong stunning stupid sublime subtle suburban such sudden superior supreme sure surprising sweet
            swift talented tall tame taut tender tense tepid terrifying thick thin third thrilling timely timid tired
            touching tough tranquil triple trite true turgid twisted ugly ultimate unabashed unable unappealing
            unassuming uncertain unclear uncompromising unconvincing uneven unexpected unfair unflinching unfocused
            unfortunate ungainly uninspired uninteresting uninvolving unique unlikely unrelated unrelenting unsatisfying
            unsettling unsure unsurprising unwilling uplifting upper urban vague vain vapid vast versatile vivid
            volatile vulgar warm weak weekly weighty weird wet white whole wide willing wooden woolly worldly worth
            worthwhile wretched wrong wry yearly young""",
        "JJ|RB": "hard fast early late right straight free pretty high low much",
        "JJR": "better worse",
        "JJS": "best worst",
        "JJR|RBR": "more less",
        "JJS|RBS": "most least",
        "RB": """abroad afar afterward again ago ahead alike almost alone aloud already also altogether always amiss
            anyhow anymore anyway anywhere apart apiece aside away awry back beforehand down downright downstairs else
            elsewhere enough even ever everywhere far forever forth further furthermore halfway hence here hereby
            however indeed indoors instead just kinda later likewise long maybe meanwhile midway moreover n't nearby
            never nevertheless nonetheless not now nowhere often once online otherwise outdoors outright overall
            overnight perhaps please quite rather seldom sideways so somehow sometimes somewhat somewhere soon sooner
            sorta still then thereafter thereby therefore thus together too twice upstairs very well yet""",
        "(": "( [ { -lrb- -lsb- -lcb-",
        ")": ") ] } -rrb- -rsb- -rcb-",
        ".": ". ! ?",
        ",": ",",
        ":": ": ; - -- --- ... … \u2013 \u2014",
        "``": "`` ` “ \u2018",
        "''": "'' ” \"",
        "$": "$ £ € ¥",
        "#": "#",
    }.items()
    for word in words.split()
}

# How a word ends, where nothing else is known of it. The longest ending listed here decides.
_ENDINGS = {
    ending: tag
    for tag, endings in {
        "NN": """tion sion ment ness ity ism ist ship hood ance ence ancy ency dom age ure play gy cy phy my ette eer er
            or eed body ry ty ss us is""",
        "RB": "ly wards",
        "JJ": "ous ful less ive able ible ic ical ish esque some ary ory al ent ant ward ine ular sty rty fty ilty y",
        "JJR": "ier",
        "JJS": "iest",
        "VB": "ize ise ify",
        "NNS|VBZ": "s",
        "VBD|VBN": "ed",
        "VBG": "ing",
    }.items()
    for ending in endings.split()
}
_LONGEST = max(map(len, _ENDINGS))
_INFLECTIONS = {
    "s": {"VB|NN": "VBZ|NNS", "NN|VB": "NNS|VBZ"},
    "er": {"JJ": "JJR", "JJ|RB": "JJR"},
    "est": {"JJ": "JJS", "JJ|RB": "JJS"},
}


@functools.lru_cache(maxsize=2**16)
def _first_guess(word: str) -> str:
    """Return the tag, or the two possible tags, of a lower-case word by itself."""
    if word in _LEXICON:
        return _LEXICON[word]
    if not any(map(str.isalnum, word)):
        return "SYM"
    *before, last = word.split("-")
    if before and last.isalpha():
        tag = _first_guess(last).partition("|")[0]
        return tag if tag in {"NNS", "RB"} else "JJ"
    if any(map(str.isdigit, word[:2])):
        return "JJ" if word.endswith(("st", "nd", "rd", "th")) else "NNS" if word.endswith("s") else "CD"
    return _inflected(word) or next(
        (
            _ENDINGS[word[start:]]
            for start in range(max(1, len(word) - _LONGEST), len(word))
            if word[start:] in _ENDINGS
        ),
        "NN?",
    )


def _inflected(word: str) -> str | None:
    """Return the tag of a form of a listed word: plays, tries, funnier, biggest."""
    for ending, tags in _INFLECTIONS.items():
        stem = word.removesuffix(ending)
        if stem != word:
            for base in (stem, stem[:-1], stem + "e", re.sub("ie?$", "y", stem)):
                if _LEXICON.get(base) in tags:
                    return tags[_LEXICON[base]]
    return None


def tag_by_lexicon(words: list[str]) -> list[str]:
    """Return the Penn Treebank tags of the words of one sentence.

    Each word is looked up by itself; then, from left to right, its neighbours settle what it left open.

    Args:
        words: The words and marks of an English sentence, in any case.

    Returns:
        As many tags.
    """
    lower = [word.lower().replace("\u2019", "'") for word in words]
    guesses = [_first_guess(word) for word in lower]
    guesses.append(".")
    shouts = not any(map(str.islower, words))
    tags: list[str] = []
    for position, word in enumerate(lower):
        tag = guesses[position]
        settle = _SETTLE.get(word) or _SETTLE.get(tag)
        if settle:
            tag = settle(tags, lower, guesses[position + 1])
        if words[position][:1].isupper() and not shouts:
            tag = _tag_of_capitalized(word, tag, tags)
        tags.append(tag)
    return tags


def _tag_of_capitalized(word: str, tag: str, tags: list[str]) -> str:
    """Return the tag of a word with a capital: a name, unless it is a known word or begins a sentence as one may."""
    begins = not tags or tags[-1] in {".", ":", "``", "("}
    if word in _LEXICON and (begins or _LEXICON[word][:2] not in {"NN", "VB", "JJ"} or _LEXICON[word] == "NN|JJ"):
        return tag
    return tag if begins and tag not in {"NN", "JJ"} else "NNP"


# What the words around an ambiguous one say of it. Each rule gets the tags so far, all words of the sentence in lower
# case and the first guess of the word that follows, and returns the tag of the word between.
_Rule = Callable[[list[str], list[str], str], str]

_BE = {"be", "is", "am", "are", "was", "were", "been", "being", "'s", "'re", "'m"}
_BEFORE_BASE_FORM = {"do", "does", "did", "let", "lets", "help", "helps", "ca", "wo"}
_BEFORE_NOUN = {"DT", "PRP$", "WP$", "JJ", "JJR", "JJS", "POS", "CD", "IN"}
_PRONOUN_SUBJECT = {"PRP", "WDT", "WP", "EX"}
_SUBJECT = _PRONOUN_SUBJECT | {"NN", "NNS", "NNP"}
_AFTER_VERB = {"DT", "PRP", "PRP$", "RB", "RP", "TO", "IN", "WRB", "WP"}


def _left(tags: list[str], lower: list[str]) -> tuple[str, str]:
    """Return the nearest word to the left that is no adverb, and its tag."""
    for position in range(len(tags) - 1, -1, -1):
        if tags[position] not in {"RB", "RBR", "RBS"}:
            return lower[position], tags[position]
    return "", ""


def _before(tags: list[str]) -> str:
    return tags[-1] if tags else ""


def _noun_or_verb(tags: list[str], lower: list[str], following: str) -> str:
    word, tag = _left(tags, lower)
    if tag in {"TO", "MD"} or word in _BEFORE_BASE_FORM:
        return "VB"
    if (
        tag in _PRONOUN_SUBJECT
        or (tag == "NNS" and following in _AFTER_VERB)
        or (tag in _SUBJECT and following == "PRP")
    ):
        return "VBP"
    return "VB" if not tag and following in {"DT", "PRP", "PRP$"} else "NN"


def _unknown(tags: list[str], lower: list[str], following: str) -> str:
    is_verb = _left(tags, lower)[1] in {"TO", "MD"} and following in _AFTER_VERB
    return "VB" if is_verb else "NN"


def _base_verb(tags: list[str], lower: list[str], following: str) -> str:
    word, tag = _left(tags, lower)
    if _before(tags) in _BEFORE_NOUN:
        return "NN"
    return "VBP" if tag in _SUBJECT and word not in _BEFORE_BASE_FORM else "VB"


def _plural_or_verb(tags: list[str], lower: list[str], following: str) -> str:
    word, tag = _left(tags, lower)
    if tag in _PRONOUN_SUBJECT or word == "this":
        return "VBZ"
    is_verb = tag in {"NN", "NNP"} and (following in _AFTER_VERB or tags[-1] != tag)
    return "VBZ" if is_verb else "NNS"


def _verb_in_s(tags: list[str], lower: list[str], following: str) -> str:
    return "NNS" if _before(tags) in _BEFORE_NOUN and lower[len(tags) - 1] != "this" else "VBZ"


def _past_or_participle(tags: list[str], lower: list[str], following: str) -> str:
    _, tag = _left(tags, lower)
    if tag in _PRONOUN_SUBJECT or (tag in _SUBJECT and following != "IN"):
        return "VBD"
    return "VBN"


def _clitic_s(tags: list[str], lower: list[str], following: str) -> str:
    is_verb = _before(tags) in {"PRP", "EX", "WP", "WRB", "RB", "DT", "WDT", "IN"} or following in _AFTER_VERB
    return "VBZ" if is_verb else "POS"


def _that(tags: list[str], lower: list[str], following: str) -> str:
    after_noun = _before(tags)[:2] in {"NN", "CC", "DT"}
    if after_noun and (following in {"MD", "RB"} or following[:2] == "VB" or following.endswith("VBZ")):
        return "WDT"
    return "DT" if not after_noun and following[:2] in {"NN", "JJ", "VB", "PO", ".", "MD"} else "IN"


def _like(tags: list[str], lower: list[str], following: str) -> str:
    word, tag = _left(tags, lower)
    return "VB" if tag in {"TO", "MD", "PRP"} or word in _BEFORE_BASE_FORM else "IN"


def _amount(comparative: str, adverb: str) -> _Rule:
    return lambda tags, lower, following: comparative if following[:2] in {"NN", "IN", ".", ","} else adverb


def _adjective_or_adverb(tags: list[str], lower: list[str], following: str) -> str:
    after_verb = _before(tags)[:2] == "VB" and lower[len(tags) - 1] not in _BE
    return "RB" if following[:2] in {"JJ", "RB"} or (after_verb and following[:2] != "NN") else "JJ"


_SETTLE: dict[str, _Rule] = {
    "NN|VB": _noun_or_verb,
    "NN?": _unknown,
    "VB|NN": _base_verb,
    "NNS|VBZ": _plural_or_verb,
    "VBZ|NNS": _verb_in_s,
    "VBD|VBN": _past_or_participle,
    "VBP|VB": lambda tags, lower, following: "VB" if _left(tags, lower)[1] in {"TO", "MD"} else "VBP",
    "POS|VBZ": _clitic_s,
    "JJ|RB": _adjective_or_adverb,
    "NN|JJ": lambda tags, lower, following: "JJ" if following[:2] in {"NN", "JJ", "VB"} else "NN",
    "EX|RB": lambda tags, lower, following: "EX" if following in {"VBZ", "VBP", "VBD", "MD", "POS|VBZ"} else "RB",
    "JJR|RBR": _amount("JJR", "RBR"),
    "JJS|RBS": _amount("JJS", "RBS"),
    "as": lambda tags, lower, following: "RB" if following in {"JJ", "RB", "JJ|RB"} else "IN",
    "her": lambda tags, lower, following: "PRP$" if following[:2] in {"NN", "JJ", "VB"} else "PRP",
    "that": _that,
    "like": _like,
}
