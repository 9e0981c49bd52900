"""Every planted defect really is there: read back from the bytes and lists, without the painter's code."""

from __future__ import annotations

import collections
import json
import struct
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from morelli.synthetic import paint
from morelli.synthetic.planning import plan
from morelli.synthetic.studio import render

pytestmark = pytest.mark.slow  # of the fixture that all share

WORKS = 220
SEED = 4
SIZE = 48
_KINDS = """mojibake mojibake_on_disk apostrophe name_drift folder_alias missing_file unlisted_file
    contradiction split_disagreement two_styles duplicate_row malformed_row unknown_class blank_line truncated
    zero_byte not_an_image bomb cmyk greyscale sixteen_bit palette_alpha exif_rotated near_duplicate
    mislabelled"""
KINDS = set(_KINDS.split())
Entries = list[dict[str, Any]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("defects") / "new"
    paint(folder, WORKS, seed=SEED, size=SIZE, defects=True)
    return folder


@pytest.fixture(scope="module")
def truth(out: Path) -> dict[str, Entries]:
    whole = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    assert (whole["seed"], whole["works"]) == (SEED, WORKS)
    return whole["defects"]


def lines(out: Path, file: str) -> list[str]:
    return (out / "wikiart_csv" / file).read_bytes().decode().replace("\r\n", "\n").split("\n")


def labels(out: Path, task: str, path: str) -> list[tuple[str, str]]:
    """(split, label) of every row of the path."""
    comma = ",," if task == "artist" else ","
    return [
        (split, line.removeprefix(path + comma))
        for split in ("train", "val")
        for line in lines(out, f"{task}_{split}.csv")
        if line.startswith(path + comma)
    ]


def classes(out: Path, task: str) -> list[str]:
    return [line.split()[1] for line in lines(out, f"{task}_class.txt") if line]


def exists(out: Path, path: str) -> bool:
    """By the exact bytes of the name."""
    file = out / "wikiart" / path
    return file.name in {p.name for p in file.parent.iterdir()}


def listed(out: Path, path: str) -> bool:
    return any(labels(out, task, path) for task in ("style", "genre", "artist"))


def test_every_kind_is_planted_and_no_work_suffers_twice(truth: dict[str, Entries]) -> None:
    assert set(truth) == KINDS
    assert all(truth.values())
    works = [
        e["path"]
        for kind, entries in truth.items()
        if kind not in ("folder_alias", "blank_line")
        for e in entries
    ]
    assert len(works) == len(set(works))


def test_sixty_works_suffice_for_every_kind(tmp_path: Path) -> None:
    counts = paint(tmp_path / "few", 60, seed=1, size=16, defects=True)
    whole = json.loads((tmp_path / "few" / "truth.json").read_text(encoding="utf-8"))
    assert set(whole["defects"]) == KINDS
    assert counts["defects"] == sum(map(len, whole["defects"].values()))


def test_only_missing_files_are_listed_without_a_file_and_only_unlisted_ones_are_in_no_list(
    out: Path, truth: dict[str, Entries]
) -> None:
    renamed = [e for k in ("mojibake", "mojibake_on_disk", "apostrophe", "name_drift") for e in truth[k]]
    paths = {
        line.rpartition(",")[0]
        for split in ("train", "val")
        for line in lines(out, f"style_{split}.csv")
        if line
    }
    on_disk = {p.relative_to(out / "wikiart").as_posix() for p in (out / "wikiart").glob("*/*")}
    assert paths - on_disk == {e["path"] for e in [*renamed, *truth["missing_file"]]}
    assert on_disk - paths == {e["disk"] for e in renamed} | {e["path"] for e in truth["unlisted_file"]}
    assert not any(listed(out, e["path"]) for e in truth["unlisted_file"])


def test_mojibake_decodes_to_the_true_name(out: Path, truth: dict[str, Entries]) -> None:
    for kind in ("mojibake", "mojibake_on_disk"):
        for e in truth[kind]:
            broken, proper = (e["path"], e["disk"]) if kind == "mojibake" else (e["disk"], e["path"])
            assert broken.replace("ã", "Ã").encode("latin-1").decode("utf-8") == proper != broken
            assert listed(out, e["path"]) and exists(out, e["disk"]) and not exists(out, e["path"])


def test_apostrophes_are_lost_or_curly_on_the_disk(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["apostrophe"]:
        assert "'" in e["path"] and e["disk"] in (
            e["path"].replace("'", ""),
            e["path"].replace("'", "\u2019"),
        )
        assert listed(out, e["path"]) and exists(out, e["disk"])
    assert len({"\u2019" in e["disk"] for e in truth["apostrophe"]}) == 2


def test_drifted_names_lost_letters_or_changed_form(out: Path, truth: dict[str, Entries]) -> None:
    assert {e["how"] for e in truth["name_drift"]} == {"letters lost", "jpeg", "NFD"}
    for e in truth["name_drift"]:
        assert e["disk"] != e["path"] and listed(out, e["path"]) and exists(out, e["disk"])
        if e["how"] == "jpeg":
            assert e["disk"] == e["path"][:-3] + "jpeg"
        elif e["how"] == "NFD":
            assert unicodedata.normalize("NFC", e["disk"]) == e["path"]
        else:
            assert e["disk"] == "".join(c for c in e["path"] if c.isascii())


def test_the_alias_folder_holds_the_works_it_claims(out: Path, truth: dict[str, Entries]) -> None:
    (e,) = truth["folder_alias"]
    gone = sum(m["path"].startswith(e["path"]) for m in truth["missing_file"])
    assert gone <= 2 and len(list((out / "wikiart" / e["path"]).iterdir())) == e["files"]
    assert e["class"] in classes(out, "style") and e["path"] not in classes(out, "style")


def test_contradictions_give_two_labels_and_duplicates_one(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["contradiction"]:
        found = labels(out, e["task"], e["path"])
        assert sorted(int(label) for _, label in found) == e["labels"] and len(set(e["labels"])) == 2
        assert len({split for split, _ in found}) == 1
    for e in truth["duplicate_row"]:
        found = labels(out, e["task"], e["path"])
        assert len(found) == 2 and len(set(found)) == 1


def test_nothing_but_the_planted_works_stands_twice_in_a_task(out: Path, truth: dict[str, Entries]) -> None:
    planted = {(e["task"], e["path"]) for k in ("contradiction", "duplicate_row") for e in truth[k]}
    for task in ("style", "genre", "artist"):
        rows = [line for s in ("train", "val") for line in lines(out, f"{task}_{s}.csv") if ".jpg," in line]
        count = collections.Counter(line.split(",")[0] for line in rows)
        assert {(task, p) for p, n in count.items() if n > 1} == {x for x in planted if x[0] == task}


def test_split_disagreements_differ_between_tasks(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["split_disagreement"]:
        assert {t: labels(out, t, e["path"])[0][0] for t in e["splits"]} == e["splits"]
        assert set(e["splits"].values()) == {"train", "val"}


def test_two_styles_are_the_same_bytes_under_the_same_name_with_their_own_labels(
    out: Path, truth: dict[str, Entries]
) -> None:
    for e in truth["two_styles"]:
        paths = (e["path"], e["other"])
        assert len({p.split("/")[1] for p in paths}) == 1 and len({p.split("/")[0] for p in paths}) == 2
        assert len({(out / "wikiart" / p).read_bytes() for p in paths}) == 1
        given = [classes(out, "style")[int(labels(out, "style", p)[0][1])] for p in paths]
        assert given == [p.split("/")[0].removesuffix("_Modern") for p in paths]


def test_malformed_and_blank_lines_stand_where_the_truth_says(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["malformed_row"]:
        text = lines(out, e["file"])[e["line"] - 1]
        path, comma, label = text.rpartition(",")
        assert text == e["text"] and not (path == e["path"] and comma and label.isdigit())
    for e in truth["blank_line"]:
        assert lines(out, e["file"])[e["line"] - 1] == ""
        assert e["line"] < len(lines(out, e["file"]))


def test_unknown_classes_are_beyond_the_class_file(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["unknown_class"]:
        ((_, label),) = labels(out, e["task"], e["path"])
        assert int(label) == e["label"] >= len(classes(out, e["task"]))


def test_unreadable_files_are_empty_cut_short_or_html(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["zero_byte"]:
        assert (out / "wikiart" / e["path"]).stat().st_size == 0
    for e in truth["truncated"]:
        with Image.open(out / "wikiart" / e["path"]) as image, pytest.raises(OSError, match="truncated"):
            image.load()
    for e in truth["not_an_image"]:
        assert b"<html>" in (out / "wikiart" / e["path"]).read_bytes()
        with pytest.raises(UnidentifiedImageError):
            Image.open(out / "wikiart" / e["path"])


def test_bombs_are_tiny_files_of_over_400_megapixels(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["bomb"]:
        data = (out / "wikiart" / e["path"]).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) < 100_000
        width, height = struct.unpack(">II", data[16:24])
        assert width * height >= 400e6
        with pytest.raises(Image.DecompressionBombError):
            Image.open(out / "wikiart" / e["path"])


@pytest.mark.parametrize(
    ("kind", "form", "mode"),
    [
        ("cmyk", "JPEG", "CMYK"),
        ("greyscale", "JPEG", "L"),
        ("sixteen_bit", "PNG", "I;16"),
        ("palette_alpha", "PNG", "P"),
    ],
)
def test_unusual_modes_decode(out: Path, truth: dict[str, Entries], kind: str, form: str, mode: str) -> None:
    for e in truth[kind]:
        assert e["path"].endswith(".jpg")
        with Image.open(out / "wikiart" / e["path"]) as image:
            image.load()
            assert (image.format, image.mode) == (form, mode)
            if kind == "sixteen_bit":
                assert np.asarray(image).max() > 255
            if kind == "palette_alpha":
                assert image.convert("RGBA").getextrema()[3] == (0, 255)


def painted(path: str) -> np.ndarray:
    """The work of that path as it was meant, from the plan."""
    work = next(w for w in plan(WORKS, SEED) if w.path == path)
    return np.asarray(render(work, SEED, SIZE), float)


def test_rotated_works_stand_upright_once_turned(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["exif_rotated"]:
        with Image.open(out / "wikiart" / e["path"]) as image:
            assert image.getexif()[0x0112] == 6
            upright = np.asarray(ImageOps.exif_transpose(image), float)
        meant = painted(e["path"])
        assert upright.shape == meant.shape
        assert np.corrcoef(upright.ravel(), meant.ravel())[0, 1] > 0.93
        assert np.corrcoef(upright[::-1, ::-1].ravel(), meant.ravel())[0, 1] < 0.9


def test_near_duplicates_look_alike_and_straddle_the_split(out: Path, truth: dict[str, Entries]) -> None:
    for e in truth["near_duplicate"]:
        copy, original = (out / "wikiart" / p for p in (e["path"], e["of"]))
        assert copy.read_bytes() != original.read_bytes() and copy.name != original.name
        with Image.open(copy) as a, Image.open(original) as b:
            assert a.size != b.size
            x, y = (np.asarray(i.convert("L").resize((16, 16)), float).ravel() for i in (a, b))
        assert np.corrcoef(x, y)[0, 1] > 0.97
        ((split, label),), ((other, same),) = (labels(out, "style", e[k]) for k in ("path", "of"))
        assert label == same and {split, other} == {"train", "val"}


def test_mislabelled_works_show_what_is_true(out: Path, truth: dict[str, Entries]) -> None:
    assert 0.03 * WORKS <= len(truth["mislabelled"]) <= 0.05 * WORKS
    assert {e["task"] for e in truth["mislabelled"]} == {"style", "genre", "artist"}
    for e in truth["mislabelled"]:
        folder, name = e["path"].split("/")
        assert e["given"] != e["true"]
        true = e["path"]
        if e["task"] == "artist":
            assert name.startswith(e["given"] + "_")
            true = f"{folder}/{e['true']}_{name.partition('_')[2]}"
        else:
            ((_, label),) = labels(out, e["task"], e["path"])
            assert classes(out, e["task"])[int(label)] == e["given"]
        if e["task"] == "style":
            assert folder.removesuffix("_Modern") == e["given"]
            true = f"{e['true'] + '_Modern' * (e['true'] == 'Art_Nouveau')}/{name}"
        if e["task"] == "genre":
            assert next(w.genre for w in plan(WORKS, SEED) if w.path == true) == e["true"]
        with Image.open(out / "wikiart" / e["path"]) as image:
            shown = np.asarray(image, float)
        assert shown.shape == painted(true).shape
        assert np.corrcoef(shown.ravel(), painted(true).ravel())[0, 1] > 0.93
