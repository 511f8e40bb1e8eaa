"""The forms of French words that are in use, from the one a dictionary has.

Without accents, as `spelling.french` leaves a text. Makes a few forms that do not exist, which does
no harm; irregular words stand in french.txt form by form.
"""

from __future__ import annotations

AUX = "al"  # national, nationaux
# Ends of the forms of verbs, after the stem. Accents are gone ("aimé" is "aime").
ENDS = {
    "er": """e es ons ez ent er ait ais aient ions iez a ai as ant ee ees era erai eras erons erez
        eront erait erais eraient""",
    "ir": """is it issons issez issent issait issais issaient issant issante issants issantes ir ira
        irai iras irons iront irait iraient i ie ies isse""",
    "re": """s ons ez ent ait ais aient ant re ra rai ras rons rez ront rait raient u ue us
        ues e""",
}


def feminine(word: str) -> list[str]:
    """The feminine forms of an adjective; several where the ending does not tell which it is."""
    for end, others in {
        "eux": ["euse"], "oux": ["ouse"], "if": ["ive"], "el": ["elle"], "en": ["enne"],
        "on": ["onne"], "et": ["ete", "ette"], "er": ["ere"], "teur": ["teuse", "trice"],
        "eur": ["euse", "eure"], "c": ["que", "che"], "f": ["ve"], "ul": ["ulle"], "g": ["gue"],
        "il": ["ille"], "os": ["osse"], "as": ["asse"], "ot": ["otte", "ote"],
    }.items():  # fmt: skip
        if word.endswith(end):
            return [word.removesuffix(end) + other for other in others]
    return [word if word.endswith("e") else f"{word}e"]


def plural(word: str) -> list[str]:
    """The plural of a noun or an adjective, and the word itself."""
    if word.endswith(("s", "x", "z")):
        return [word]
    if word.endswith("eau"):
        return [word, f"{word}x"]
    return [word, f"{word}s", *([f"{word[:-1]}ux"] if word.endswith(AUX) else [])]


def adjective(word: str) -> list[str]:
    """Masculine and feminine, singular and plural."""
    return [form for single in (word, *feminine(word)) for form in plural(single)]


def conjugated(word: str, kind: str) -> list[str]:
    """The forms of a regular verb."""
    stem = word[:-2]
    ends = ENDS[kind].split()
    forms = [stem + end for end in ends]
    if kind == "re":
        return [*forms, stem]
    if word.endswith("ger"):  # mangeons
        forms += [f"{stem}e{end}" for end in ends if end[0] in "ao"]
    for long, short in (("oyer", "oi"), ("uyer", "ui"), ("ayer", "ai")):  # essuie
        if word.endswith(long):
            forms += [word.removesuffix(long) + short + end for end in ends if end[0] == "e"]
    for long, short in (("eler", "elle"), ("eter", "ette")):  # rejette
        if word.endswith(long):
            forms += [
                word.removesuffix(long) + short + end for end in ("", "s", "nt", "ra", "ront")
            ]
    return forms


def forms(kind: str, word: str) -> list[str]:
    """The forms of a word of that kind."""
    if kind == "adj":
        return adjective(word)
    if kind == "noun":
        return plural(word)
    return conjugated(word, kind) if kind in {"er", "ir", "re"} else [word]
