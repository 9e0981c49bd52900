"""The painter: dialects of the lists, balance, determinism, sizes, and whether pixels decide."""

from __future__ import annotations

import collections
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from morelli.errors import UsageError
from morelli.synthetic import paint
from morelli.synthetic.planning import plan
from morelli.synthetic.studio import render

WORKS = 400
ROW = {
    "style": re.compile(r"([^,]+\.jpg),(\d+)"),
    "genre": re.compile(r"([^,]+\.jpg),(\d+)"),
    "artist": re.compile(r"([^,]+\.jpg),,(\d+)"),
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painted") / "new"
    paint(folder, WORKS, seed=3, size=48)
    return folder


def rows(out: Path, task: str, split: str) -> dict[str, int]:
    text = (out / "wikiart_csv" / f"{task}_{split}.csv").read_text(encoding="utf-8")
    found = [ROW[task].fullmatch(line) for line in text.splitlines()[2 if task == "artist" else 0 :]]
    assert all(found)
    return {m[1]: int(m[2]) for m in found if m}


def both(out: Path, task: str) -> dict[str, int]:
    return rows(out, task, "train") | rows(out, task, "val")


def names(out: Path, task: str) -> list[str]:
    return [line.split()[1] for line in (out / "wikiart_csv" / f"{task}_class.txt").read_text().splitlines()]


def disk(out: Path) -> set[str]:
    return {path.relative_to(out / "wikiart").as_posix() for path in (out / "wikiart").rglob("*.*")}


def tree(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("task", ["style", "genre"])
def test_style_and_genre_lists_end_lines_with_crlf_and_have_no_header(
    out: Path, task: str, split: str
) -> None:
    data = (out / "wikiart_csv" / f"{task}_{split}.csv").read_bytes()
    assert data.endswith(b"\r\n") and data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")
    for line in data.decode().removesuffix("\r\n").split("\r\n"):
        assert re.fullmatch(r"[A-Za-z_]+/[a-z]+-[a-z]+_[^,/]+\.jpg,\d+", line)


@pytest.mark.parametrize(("split", "end"), [("train", b" \n\n"), ("val", b"\n\n")])
def test_artist_lists_have_lf_a_header_an_empty_line_and_two_commas(
    out: Path, split: str, end: bytes
) -> None:
    data = (out / "wikiart_csv" / f"artist_{split}.csv").read_bytes()
    header = b"(Path to image),, (Groundtruth class)" + end
    assert data.startswith(header) and b"\r" not in data and data.endswith(b"\n")
    for line in data[len(header) :].decode().removesuffix("\n").split("\n"):
        assert re.fullmatch(r"[A-Za-z_]+/[a-z]+-[a-z]+_[^,/]+\.jpg,,\d+", line)


def test_class_files_count_from_zero_and_the_art_nouveau_folder_is_not_its_class_name(out: Path) -> None:
    for task in ("style", "genre", "artist"):
        data = (out / "wikiart_csv" / f"{task}_class.txt").read_bytes().decode()
        lines = data.removesuffix("\n").split("\n")
        assert data.endswith("\n") and "\r" not in data
        assert [line.split(" ")[0] for line in lines] == [str(k) for k in range(len(lines))]
    assert "Art_Nouveau" in names(out, "style") and "Art_Nouveau_Modern" not in names(out, "style")
    assert (out / "wikiart" / "Art_Nouveau_Modern").is_dir() and not (
        out / "wikiart" / "Art_Nouveau"
    ).exists()


def test_lists_and_disk_hold_the_same_works_and_folders_agree_with_labels(out: Path) -> None:
    styles = both(out, "style")
    assert set(styles) == disk(out) and len(styles) == WORKS
    for path, label in styles.items():
        assert path.split("/")[0].removesuffix("_Modern") == names(out, "style")[label]
    for path, label in both(out, "artist").items():
        assert path.split("/")[1].startswith(names(out, "artist")[label].lower().replace("_", "-") + "_")


def test_three_tasks_share_one_split_of_about_seventy_to_thirty(out: Path) -> None:
    held = set(rows(out, "style", "val"))
    assert not held & set(rows(out, "style", "train"))
    assert 0.25 < len(held) / WORKS < 0.35
    for task in ("genre", "artist"):
        assert set(rows(out, task, "val")) <= held
        assert not set(rows(out, task, "train")) & held


def test_classes_are_long_tailed_but_none_has_fewer_than_twelve_works_or_three_percent(out: Path) -> None:
    slugs = collections.Counter(path.split("/")[1].split("_")[0] for path in disk(out))
    counts = [collections.Counter(both(out, task).values()) for task in ("style", "genre")]
    assert (len(counts[0]), len(counts[1]), len(slugs)) == (7, 6, 9)
    for count in (*counts, slugs):
        assert min(count.values()) >= max(12, 0.03 * WORKS)
        assert 3 < max(count.values()) / min(count.values()) < 7


def test_some_genres_are_unknown_and_only_half_the_artists_are_official(out: Path) -> None:
    assert 0.8 < len(both(out, "genre")) / WORKS < 0.9
    slugs = {path.split("/")[1].split("_")[0] for path in disk(out)}
    assert len(names(out, "artist")) == 4 < len(slugs)


def majority_given_artist(train: dict[str, int], val: dict[str, int]) -> float:
    """What the artist's name alone scores: each artist's most frequent label."""
    by: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for path, label in train.items():
        by[path.split("/")[1].split("_")[0]][label] += 1
    hits = [by[path.split("/")[1].split("_")[0]].most_common(1)[0][0] == label for path, label in val.items()]
    return float(np.mean(hits))


def test_every_artist_works_in_several_styles_so_a_name_says_little(out: Path) -> None:
    styles: dict[str, set[str]] = collections.defaultdict(set)
    for path in disk(out):
        styles[path.split("/")[1].split("_")[0]].add(path.split("/")[0])
    assert all(2 <= len(mine) <= 4 for mine in styles.values())
    everything = both(out, "style")
    assert 0.48 < majority_given_artist(everything, everything) < 0.62


def test_titles_are_unique_and_some_have_years_or_numbers(out: Path) -> None:
    files = [path.split("/")[1] for path in disk(out)]
    assert len(set(files)) == WORKS
    assert any(re.search(r"-1[89]\d\d\.jpg$", name) for name in files)
    assert any(name.endswith("(2).jpg") for name in files)


def features(path: Path) -> np.ndarray:
    """Simple measurements of a 32-pixel thumbnail: colours, edges, and a 4 × 4 layout."""
    image = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BOX), float)
    histogram = [np.histogram(image[..., k], 8, (0, 256))[0] / 1024 for k in range(3)]
    dy, dx = np.gradient(image.mean(2))
    edges = np.quantile(np.hypot(dx, dy), [0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
    axis = np.histogram(np.arctan2(dy, dx) % np.pi, 6, (0, np.pi), weights=np.hypot(dx, dy))[0]
    layout = image.reshape(4, 8, 4, 8, 3).mean((1, 3)).ravel() / 255
    border = np.abs(image[0] - image[3]).mean() + np.abs(image[:, 0] - image[:, 3]).mean()
    return np.concatenate([*histogram, edges, axis / axis.sum(), layout, [border]])


@pytest.mark.parametrize("task", ["style", "genre"])
def test_pixels_say_more_than_the_majority_and_than_the_artists_name(out: Path, task: str) -> None:
    train, val = rows(out, task, "train"), rows(out, task, "val")
    x, y = ([features(out / "wikiart" / path) for path in part] for part in (train, val))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
    model.fit(x, list(train.values()))
    score = model.score(y, list(val.values()))
    majority = collections.Counter(val.values()).most_common(1)[0][1] / len(val)
    assert score > majority + 0.15
    assert score > majority_given_artist(train, val) + 0.1


def test_pixels_tell_the_artist_within_one_style(out: Path) -> None:
    train, val = (
        [p for p in rows(out, "style", s) if p.startswith("Impressionism/")] for s in ("train", "val")
    )
    slug = [[p.split("/")[1].split("_")[0] for p in part] for part in (train, val)]
    x, y = ([features(out / "wikiart" / path) for path in part] for part in (train, val))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000)).fit(x, slug[0])
    majority = collections.Counter(slug[1]).most_common(1)[0][1] / len(slug[1])
    assert model.score(y, slug[1]) > majority + 0.15


def test_short_side_is_exact_and_formats_vary_between_three_to_four_and_four_to_three(out: Path) -> None:
    sizes = []
    for path in disk(out):
        with Image.open(out / "wikiart" / path) as image:
            sizes.append(image.size)
    assert {min(size) for size in sizes} == {48}
    ratios = [w / h for w, h in sizes]
    assert 0.74 <= min(ratios) < 0.8 and 1.25 < max(ratios) <= 1.34 and 1.0 in ratios


@pytest.mark.parametrize("number", range(0, 40, 5))
def test_a_work_is_the_same_picture_at_any_size(number: int) -> None:
    work = plan(40, 5)[number]
    small, large = (render(work, 5, size).resize((24, 24), Image.Resampling.BOX) for size in (96, 600))
    a, b = (np.asarray(image, float).ravel() for image in (small, large))
    assert np.corrcoef(a, b)[0, 1] > 0.85


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_one_process_or_two(tmp_path: Path) -> None:
    paint(tmp_path / "one", 70, seed=8, size=32, defects=True, processes=1)
    paint(tmp_path / "two", 70, seed=8, size=32, defects=True, processes=2)
    paint(tmp_path / "other", 70, seed=9, size=32, processes=2)
    first, second, other = (tree(tmp_path / name) for name in ("one", "two", "other"))
    assert first == second
    assert not set(first.values()) & {v for name, v in other.items() if name.endswith(".jpg")}


@pytest.mark.slow
def test_a_work_keeps_its_name_and_picture_when_the_collection_grows(tmp_path: Path) -> None:
    paint(tmp_path / "few", 12, seed=2, size=24)
    paint(tmp_path / "more", 40, seed=2, size=24)
    few, more = (tree(tmp_path / name) for name in ("few", "more"))
    pictures = {name: data for name, data in few.items() if name.endswith(".jpg")}
    assert len(pictures) == 12 and pictures.items() <= more.items()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_progress_counts_every_work_once(tmp_path: Path, processes: int) -> None:
    seen: list[int] = []
    counts = paint(tmp_path / "p", 66, size=16, processes=processes, progress=seen.append)
    assert sum(seen) == 66 and len(seen) > 1
    assert counts == {"works": 66, "files": 66, "rows": counts["rows"], "defects": 0}
    assert counts["rows"] == sum(len(both(tmp_path / "p", task)) for task in ("style", "genre", "artist"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"works": 0}, "--works 0"),
        ({"works": 59, "defects": True}, "at least 60"),
        ({"works": 5, "size": 15}, "--size 15"),
        ({"works": 5, "size": 4097}, "--size 4097"),
        ({"works": 5, "seed": -1}, "--seed -1"),
        ({"works": 5, "processes": 0}, "--processes 0"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, int], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        paint(tmp_path / "new", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        paint(tmp_path, 3)
    with pytest.raises(UsageError, match="is a file"):
        paint(tmp_path / "notes.txt", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
