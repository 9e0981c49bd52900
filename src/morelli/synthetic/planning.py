"""Which picture is which: artist, style, genre, title and split of every work, dealt from shuffled decks.

Work k is the same whatever the number of works: hundreds are dealt one deck at a time, and a title that was
used before gets a number, as in the real lists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morelli.synthetic.world import ARTISTS, DECK, FOLDERS, GENRES, OFFICIAL_ARTISTS, deck

_PLACES = [
    "orvale",
    "saltmere",
    "lindholm",
    "castelrosso",
    "vieux-port",
    "montferrand",
    "akagawa",
    "brennhaven",
    "sorrel",
    "tarnow",
    "quillon",
]
_TIMES = [
    "morning",
    "evening",
    "winter",
    "spring",
    "autumn",
    "noon",
    "midnight",
    "twilight",
    "august",
    "november",
]
_PEOPLE = [
    "young-woman",
    "old-man",
    "violinist",
    "miller",
    "fisherman",
    "widow",
    "student",
    "countess",
    "merchant",
    "sister",
    "poet",
    "lacemaker",
    "captain",
    "gardener",
]
_SAINTS = [
    "saint-irmela",
    "saint-oduvald",
    "saint-tavin",
    "the-angel",
    "the-mother-and-child",
    "saint-perrine",
    "the-pilgrim",
]
_FRUIT = [
    "apples",
    "pears",
    "lemons",
    "quinces",
    "poppies",
    "asters",
    "peonies",
    "plums",
    "a-jug",
    "two-bottles",
    "a-white-cloth",
]
_FORMS = ["composition", "untitled", "rhythm", "movement", "study", "opus", "number", "harmony"]
_NUMBERS = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]


@dataclass(frozen=True)
class Work:
    """One painting. ``number`` seeds it; ``labelled`` tells whether the lists know its genre; ``split`` is
    ``train`` or ``val``."""

    number: int
    artist: int
    style: str
    genre: str
    title: str
    split: str
    labelled: bool

    @property
    def name(self) -> str:
        return f"{ARTISTS[self.artist].slug}_{self.title}.jpg"

    @property
    def path(self) -> str:
        """Relative to ``wikiart/``, as the lists write it."""
        return f"{FOLDERS[self.style]}/{self.name}"

    @property
    def official(self) -> bool:
        """Whether the artist lists know the artist."""
        return self.artist < OFFICIAL_ARTISTS


def plan(works: int, seed: int) -> list[Work]:
    """The first ``works`` works of the world of ``seed``."""
    planned: list[Work] = []
    used: dict[str, int] = {}
    for block in range(-(-works // DECK)):
        planned.extend(_deal(block, seed, used, min(DECK, works - block * DECK)))
    return planned


def _deal(block: int, seed: int, used: dict[str, int], count: int) -> list[Work]:
    # the third number keeps this stream apart from those of single works, which have two
    rng = np.random.default_rng([seed, block, 1])
    cards = [deck()[k] for k in rng.permutation(DECK)]
    genres = rng.permutation([genre for genre, n in GENRES.items() for _ in range(n)])
    held = rng.permutation(DECK) < 30
    unlabelled = rng.permutation(DECK) < 15
    titles = [_title(rng, str(genre)) for genre in genres]
    works = []
    for k in range(count):
        artist, style = cards[k]
        name = f"{artist}/{titles[k]}"
        used[name] = used.get(name, 0) + 1
        title = titles[k] if used[name] == 1 else f"{titles[k]}({used[name]})"
        split = "val" if held[k] else "train"
        works.append(Work(block * DECK + k, artist, style, str(genres[k]), title, split, not unlabelled[k]))
    return works


def _title(rng: np.random.Generator, genre: str) -> str:
    def one(words: list[str]) -> str:
        return words[int(rng.integers(len(words)))]

    forms = {
        "landscape": [
            f"{one(_TIMES)}-near-{one(_PLACES)}",
            f"view-of-{one(_PLACES)}",
            f"the-road-to-{one(_PLACES)}",
        ],
        "portrait": [f"portrait-of-a-{one(_PEOPLE)}", f"the-{one(_PEOPLE)}", "self-portrait"],
        "cityscape": [
            f"a-street-in-{one(_PLACES)}",
            f"{one(_PLACES)}-{one(_TIMES)}",
            f"the-tower-of-{one(_PLACES)}",
        ],
        "still_life": [f"still-life-with-{one(_FRUIT)}", f"{one(_FRUIT)}-and-{one(_FRUIT)}", "still-life"],
        "religious_painting": [
            f"{one(_SAINTS)}",
            f"{one(_SAINTS)}-with-candles",
            f"altarpiece-of-{one(_PLACES)}",
        ],
        "abstract_painting": [f"{one(_FORMS)}-{one(_NUMBERS)}", "untitled", f"{one(_FORMS)}-{one(_TIMES)}"],
    }
    title = one(forms[genre])
    return f"{title}-{rng.integers(1860, 1935)}" if rng.random() < 0.4 else title
