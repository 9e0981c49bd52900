"""The tables of how far a run's answers can be trusted, ready for the page: rows of cells, one cell a task."""

from __future__ import annotations

from typing import Any

from morelli.report.figures.style import display_name

CALIBRATION = [
    ("ece", "Calibration error", "gap between confidence and accuracy, 15 bins of equal width"),
    ("ece_equal_mass", "Equal-mass error", "the same, 15 bins of equally many works"),
    ("classwise_ece", "Classwise error", "gap between each class's probability and its share"),
    ("nll", "Log loss", "nats a work"),
]
SETS = {
    "lac": "sets that hold the true class; smallest on average",
    "aps": "larger where a work is hard",
    "raps": "the same without a long tail",
}
SHOTS = {
    "many": "over 100 training works",
    "medium": "20–100 training works",
    "few": "under 20 training works",
}
NOTHING = ("–", "")


def trust_tables(scores: dict[str, Any], tasks: list[str]) -> list[dict[str, Any]]:
    """Calibration, abstention, prediction sets and rare classes, each with ``title``, ``note`` and ``rows``."""
    given = [scores["tasks"][name] for name in tasks]
    sets = [t.get("conformal") for t in given]
    wanted = next((fitted["coverage"] for fitted in sets if fitted), 0)
    note = (
        f"A set of classes for each work, made to hold the true one for {100 * wanted:.0f} % of works; its threshold "
        "comes from the validation split."
    )
    tables = [
        ("", "", _calibration(given)),
        ("Leaving unsure works out", "", _abstention(given)),
        ("Prediction sets", note, _sets(tasks, sets)),
        ("Rare and frequent classes", "", _shots(given) + _adjustment(given)),
    ]
    kept = [(title, note, [row for row in rows if has_figures(row)]) for title, note, rows in tables]
    return [{"title": title, "note": note, "rows": rows} for title, note, rows in kept if rows]


def _calibration(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for key, label, hint in CALIBRATION:
        both = [(t["calibration"]["before"][key], t["calibration"]["after"][key]) for t in given]
        cells = [NOTHING if b is None else (f"{a:.3f}", f"before {b:.3f}") for b, a in both]
        rows.append(_row(label, hint, cells))
    factors = [(f"{t['calibration']['temperature']:.2f}", "") for t in given]
    rows.append(_row("Temperature", "divides the logits; above 1 it lowers confidence", factors))
    shifts = [t["calibration"].get("shift") for t in given]
    if any(shifts):
        spans = [(f"{max(s) - min(s):.2f}", "") if s else NOTHING for s in shifts]
        rows.append(_row("Given to rare classes", "rarest against most frequent class, in logits", spans))
    return rows


def _abstention(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    chosen = [t.get("selective") or {} for t in given]
    rows = []
    for part in ("0.5", "0.8", "0.9"):
        cells = [share(s.get("accuracy_at", {}).get(part)) for s in chosen]
        rows.append(_row(f"Surest {100 * float(part):.0f} %", "accuracy", cells))
    targets = [s.get("target") or {} for s in chosen]
    cells = [share(t.get("accuracy"), t.get("accuracy_ci95")) for t in targets]
    rows.append(
        _row("Above the threshold", "accuracy where the confidence made 95 % of validation right", cells)
    )
    return [*rows, _row("Answered then", "share of works", [share(t.get("coverage")) for t in targets])]


def _sets(tasks: list[str], sets: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
    rows = []
    for method, meaning in SETS.items():
        measured = [(s or {}).get("methods", {}).get(method) for s in sets]
        cells = [share(m["coverage"], m["coverage_ci95"]) if m else NOTHING for m in measured]
        rows.append(_row(f"{method.upper()}: coverage", meaning, cells))
        sizes = [
            (f"{m['mean_size']:.2f}", f"one class: {100 * m['singletons']:.0f}\u00a0%") if m else NOTHING
            for m in measured
        ]
        rows.append(_row(f"{method.upper()}: classes", "in a set, on average", sizes))
    return [
        *rows,
        _row("LAC: worst class", "covered least, of those with 10 works or more", _worst(tasks, sets)),
    ]


def _worst(tasks: list[str], sets: list[dict[str, Any] | None]) -> list[tuple[str, str]]:
    covered = [((s or {}).get("methods", {}).get("lac") or {}).get("least_covered") for s in sets]
    return [
        (share(worst["coverage"])[0], display_name(worst["class"])) if worst else NOTHING
        for task, worst in zip(tasks, covered, strict=True)
    ]


def _shots(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for name, meaning in SHOTS.items():
        groups = [(t.get("shots") or {}).get(name) or {} for t in given]
        cells = [(share(g.get("accuracy"))[0], _how_many(g) if g.get("works") else "") for g in groups]
        rows.append(_row(f"{name.capitalize()}-shot", f"accuracy of classes with {meaning}", cells))
    return rows


def _how_many(group: dict[str, Any]) -> str:
    several = "class" if group["classes"] == 1 else "classes"
    return f"{group['classes']} {several}, {group['works']:,d} works"


def _adjustment(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What logit adjustment does, with the τ that is best for the mean accuracy of the classes on validation."""
    columns: list[tuple[tuple[str, str], ...]] = []
    for scores in given:
        adjusted = scores.get("logit_adjusted")
        if not adjusted:
            columns.append((NOTHING,) * 3)
            continue
        after = adjusted["balanced"]
        mean = share(after["balanced_accuracy"])[0], _before(adjusted["balanced_accuracy_before"])
        accuracy = share(after["accuracy"])[0], _before(scores["accuracy"])
        columns.append((mean, accuracy, (f"{after['tau']:.2f}", f"for macro F1 {adjusted['tau']:.2f}")))
    means, accuracies, taus = ([column[k] for column in columns] for k in range(3))
    return [
        _row("Logit adjusted", "mean accuracy of the classes, training's imbalance taken back", means),
        _row("Accuracy then", "of all works", accuracies),
        _row("Its strength τ", "best on the validation split; 0 changes nothing", taus),
    ]


def _before(value: float) -> str:
    return f"before {share(value)[0]}".replace(" %", "\u00a0%")


def leakage_table(scores: dict[str, Any], tasks: list[str]) -> dict[str, Any] | None:
    """What of the split was seen in training, as sentences, examples and the accuracy without it."""
    leakage = scores.get("leakage")
    if not leakage:
        return None
    kinds = [
        (k["meaning"], k["works"], share(k["share"])[0], k["examples"]) for k in leakage["kinds"].values()
    ]
    without = [scores["tasks"][name].get("accuracy_without_leakage") or {} for name in tasks]
    seen = " and ".join({"train": "training", "val": "validation"}[split] for split in leakage["seen"])
    given = [scores["tasks"][name] for name in tasks]
    every = [share(task.get("accuracy"), task.get("accuracy_ci95")) for task in given]
    rows = [_row("All works", "accuracy", every)]
    for key, label in (("copies", "Without copies"), ("any", "Without any of these")):
        cells = [w.get(key) or {} for w in without]
        rows.append(
            _row(label, "accuracy", [share(c.get("accuracy"), c.get("accuracy_ci95")) for c in cells])
        )
    return {"kinds": kinds, "rows": rows, "works": leakage["works"], "seen": seen}


def _row(label: str, hint: str, cells: list[tuple[str, str]]) -> dict[str, Any]:
    return {"label": label, "hint": hint, "cells": cells, "baseline": False}


def has_figures(row: dict[str, Any]) -> bool:
    return any(value != "–" for value, _ in row["cells"])


def share(value: float | None, interval: list[float] | None = None) -> tuple[str, str]:
    """A share in per cent with its interval, ready to show; – where undefined."""
    if value is None:
        return "–", ""
    between = f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}" if interval else ""
    return f"{100 * value:.1f} %", between
