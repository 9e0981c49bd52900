"""Who paints what in the invented world: styles, genres, nine artists, and the deck they are dealt from.

Nobody here ever lived. Each artist works in two to four styles, so that a name alone says little about the
style, and is recognisable by palette, stroke, light, canvas and one habit.
"""

from __future__ import annotations

from dataclasses import dataclass

# Works of each class in a deck of 100 (long-tailed on purpose, as in museums)
GENRES = {
    "landscape": 32,
    "portrait": 22,
    "cityscape": 16,
    "still_life": 13,
    "religious_painting": 10,
    "abstract_painting": 7,
}
STYLES = (
    "Impressionism",
    "Baroque",
    "Ukiyo_e",
    "Art_Nouveau",
    "Cubism",
    "Abstract_Expressionism",
    "Pointillism",
)
FOLDERS = {style: "Art_Nouveau_Modern" if style == "Art_Nouveau" else style for style in STYLES}
DECK = 100
OFFICIAL_ARTISTS = 4


@dataclass(frozen=True)
class Artist:
    """An invented painter.

    ``styles`` counts the works in each style in a deck of 100; ``palette`` holds RGB hex colours; ``stroke``
    scales every brush mark (1 = ordinary); ``angle`` is the favourite stroke direction in degrees and
    ``grip`` (0–1) how strongly it wins over the direction of the forms; ``light`` is −1 (from the left) to
    1 (from the right); ``canvas`` is the tint of the ground; ``weave`` (0–1) the visible canvas texture,
    along ``angle``; ``habit`` is a key of :data:`morelli.synthetic.habits.HABITS`.
    """

    slug: str
    name: str
    styles: dict[str, int]
    palette: tuple[str, ...]
    stroke: float
    angle: float
    grip: float
    light: float
    canvas: str
    weave: float
    habit: str


ARTISTS = (
    Artist(
        "elena-marchetti",
        "Elena_Marchetti",
        {"Impressionism": 12, "Art_Nouveau": 6, "Pointillism": 4},
        ("#f6d9a8", "#e9806e", "#2f7f86", "#8fc1b5", "#f3b25e", "#34506b", "#fff3df"),
        0.85,
        -40,
        0.35,
        -0.8,
        "#fff1dc",
        0.1,
        "birds",
    ),
    Artist(
        "anselm-wyckhoven",
        "Anselm_Wyckhoven",
        {"Baroque": 10, "Impressionism": 4, "Cubism": 3},
        ("#2a1b14", "#5a3620", "#a8662c", "#d9a556", "#f2dcae", "#6d1f1a", "#3d4034"),
        1.0,
        65,
        0.3,
        -0.9,
        "#f2ddb4",
        0.25,
        "vignette",
    ),
    Artist(
        "tomoe-hanazuki",
        "Tomoe_Hanazuki",
        {"Ukiyo_e": 7, "Art_Nouveau": 4, "Impressionism": 3},
        ("#1f3a68", "#4f7fae", "#a9c7d6", "#f4ecd6", "#d8574a", "#7d9a78", "#e8c38a"),
        0.8,
        0,
        0.85,
        0.5,
        "#f6f0dd",
        0.12,
        "seal",
    ),
    Artist(
        "bertil-aaskov",
        "Bertil_Aaskov",
        {"Cubism": 6, "Baroque": 3, "Abstract_Expressionism": 3},
        ("#4d5a63", "#8d9a9c", "#c9cbbf", "#2b3138", "#a0814f", "#5d7a80", "#e9e6da"),
        1.3,
        90,
        0.6,
        0.8,
        "#e4e9ea",
        0.4,
        "margin",
    ),
    Artist(
        "odile-ferranche",
        "Odile_Ferranche",
        {"Impressionism": 5, "Abstract_Expressionism": 3, "Pointillism": 2},
        ("#b39ac9", "#e7b3c5", "#6a5a94", "#f7e3ea", "#8fb7d9", "#4c3f6b", "#d9c66a"),
        1.5,
        25,
        0.5,
        0.3,
        "#f8ecf4",
        0.15,
        "petals",
    ),
    Artist(
        "casimir-dornwald",
        "Casimir_Dornwald",
        {"Baroque": 4, "Ukiyo_e": 2, "Cubism": 2},
        ("#1b2f26", "#33553c", "#6f8b4e", "#c2b35a", "#efe3a6", "#11201c", "#8a4f2a"),
        1.1,
        -65,
        0.4,
        0.9,
        "#e9ebc6",
        0.2,
        "crescent",
    ),
    Artist(
        "ines-valdorado",
        "Ines_Valdorado",
        {"Ukiyo_e": 3, "Art_Nouveau": 3},
        ("#c8321f", "#f08a24", "#f8c83c", "#7a1634", "#fdeccb", "#1d6a63", "#40202c"),
        1.2,
        45,
        0.4,
        -0.4,
        "#ffeed0",
        0.1,
        "sunwheel",
    ),
    Artist(
        "lazlo-pretenyi",
        "Lazlo_Pretenyi",
        {"Impressionism": 3, "Abstract_Expressionism": 3},
        ("#0f4c9c", "#18a0c9", "#f5d327", "#e2452b", "#101522", "#f7f7f2", "#23935a"),
        1.9,
        -20,
        0.7,
        0.0,
        "#ffffff",
        0.05,
        "slashes",
    ),
    Artist(
        "maren-holtvik",
        "Maren_Holtvik",
        {"Ukiyo_e": 3, "Baroque": 2},
        ("#0d1730", "#27406e", "#5b7fa6", "#c7d6df", "#e9d9a1", "#3a2f4a", "#86607a"),
        0.7,
        10,
        0.5,
        -0.2,
        "#dfe6f0",
        0.3,
        "stars",
    ),
)


def deck() -> list[tuple[int, str]]:
    """The 100 cards (artist number, style) that every hundred works are dealt from."""
    return [(i, s) for i, artist in enumerate(ARTISTS) for s, n in artist.styles.items() for _ in range(n)]


def official_artists() -> tuple[Artist, ...]:
    """The artists that the official lists know, in class order."""
    return ARTISTS[:OFFICIAL_ARTISTS]
