"""Names: mojibake, keys that survive mirrors, artists out of file names."""

import pandas as pd
import pytest

from morelli.collection.names import (
    artist_names,
    artist_of,
    class_key,
    folder_class,
    is_unknown,
    match_keys,
    repair_mojibake,
)

PROPER = ["grégoire-michonze_in-the-village.jpg", "joaquín-sorolla_beach.jpg", "théodore-rousseau_ô-soir.jpg"]
PROPER += ["tadeusz-makowski_łódź.jpg", "arnold-böcklin_insel.jpg", "o’keeffe_it’s-yellow.jpg"]


# Windows-1252 has capitals among the continuation bytes (Œ, Š, Ž), so there lower-casing can lose letters
CASES = [(name, "latin-1") for name in [*PROPER, "日本_富士.jpg"]] + [(name, "cp1252") for name in PROPER[:3]]


@pytest.mark.parametrize(("name", "codec"), CASES)
def test_utf8_misread_and_lower_cased_is_decoded_back(name: str, codec: str) -> None:
    broken = name.encode().decode(codec).lower()
    assert broken != name
    assert repair_mojibake(broken) == name


@pytest.mark.parametrize(
    "name", ["são-paulo.jpg", "château.jpg", "grégoire.jpg", "plain.jpg", "â.jpg", "日本.jpg"]
)
def test_names_that_are_already_right_stay(name: str) -> None:
    assert repair_mojibake(name) == name


def test_folder_capitals_survive_the_repair() -> None:
    assert repair_mojibake("Pop_Art/grã©goire_x.jpg") == "Pop_Art/grégoire_x.jpg"


def test_mirrors_spellings_share_a_key() -> None:
    wanted = match_keys("Art_Nouveau_Modern/jean-o'hara_été.jpg")
    assert match_keys("Art_Nouveau/jean-ohara_ete.jpeg")[0] == wanted[0]
    assert match_keys("art_nouveau/jean-o’hara_t.png")[1] == wanted[1]
    assert match_keys("Art_Nouveau/jean-ohara_hiver.jpg")[0] != wanted[0]


@pytest.mark.parametrize(
    ("name", "artist"),
    [
        ("vincent-van-gogh_pine-trees-1884.jpg", "vincent-van-gogh"),
        ("Style/allan-d'arcangelo_looking-north.jpg", "allan-d'arcangelo"),
        ("grã©goire-michonze_birds.jpg", "grégoire-michonze"),
        ("IMG_1234.jpg", None),
        ("dsc_0001.jpg", None),
        ("untitled.jpg", None),
        ("_x.jpg", None),
    ],
)
def test_artist_is_read_from_artgan_file_names_only(name: str, artist: str | None) -> None:
    assert artist_of(name) == artist


@pytest.mark.parametrize(
    "word", ["", " ", None, float("nan"), pd.NA, "Unknown Artist", "unknown_genre", "N/A", "-1"]
)
def test_words_that_say_nothing_are_unknown(word: object) -> None:
    assert is_unknown(word)


def test_real_names_are_known() -> None:
    assert not is_unknown("Unknown Pleasures") and not is_unknown("Rococo")


def test_classes_match_across_spellings() -> None:
    assert class_key("Vincent_van_Gogh") == class_key("vincent-van-gogh")
    assert class_key("Art_Nouveau_Modern") == class_key("Art Nouveau")
    assert folder_class("Rococo") == "Rococo"


def test_class_keys_keep_the_letters_of_every_script() -> None:
    assert class_key("Gréta Ünal") == class_key("greta_unal")
    assert class_key("葛飾 北斎") == class_key("葛飾北斎") != class_key("歌川広重")
    assert class_key("王 A") != class_key("李 A") and class_key("Илья Репин") == class_key("илья-репин")
    assert class_key("राजा") != class_key("रज")


def test_an_artist_has_one_spelling_whoever_wrote_it() -> None:
    labels = ["Claude_Monet", None, "Claude_Monet", "Berthe_Morisot", None, None]
    names = ["claude-monet", "claude monet", None, None, float("nan"), "claude-monet"]
    artists = artist_names(labels, names)
    assert artists == ["claude-monet", "claude-monet", "claude-monet", "Berthe_Morisot", None, "claude-monet"]
    # the class label decides who it is
    assert artist_names(["Claude_Monet", None], ["edgar-degas", "claude-monet"]) == ["claude-monet"] * 2
