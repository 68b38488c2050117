"""Predictions of one submission -> a scorecard: a JSON-able dict, scorecard.json, and one self-contained HTML page.

    card = assemble(conditions, predictions, classes=CLASSES, outcome=outcome, submission={"file": ...}, seed=0)
    write_json(card, Path("dist/scorecard.json")); page.write_html(card, Path("dist/scorecard.html"), images=test_images)

A scorecard carries all that its numbers depend on: cells, n, seed, spread, device, commit, recipe, zip hash, suite definitions. It is not
covered what the hidden set is: suites are proxies, and the forecast (leaderboard/forecast.py) says how good ones.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from build.errors import UserError
from build.files import write_text
from build.score.leaderboard.forecast import Forecaster, bounds_of, why_not
from build.score.leaderboard.predictions import answers
from build.score.metrics import clustered, measure, wilson
from build.score.outcome import Outcome
from build.score.suites import SUITES, Condition
from build.trained_operations import operations_trained_with, seen

FORMAT = 1
WORST = 24
GATE_SUITE = "basic"
SUBMISSION = ("file", "zip_sha256", "zip_bytes", "weights_sha256", "commit", "run", "team", "seen")
"""Facts of a zip that every card has, null where they are not known; seen: how many of the test cells it was trained on."""


def corruption_errors(rows: Sequence[Mapping]) -> dict[str, dict]:
    """Per corruption of one suite: mean error over its severities, that of the very same images as they are, and their difference.

    rows: conditions with `corruption`, `accuracy` and `clean` (None where clean images were not asked).
    """
    table: dict[str, list[Mapping]] = {}
    for row in rows:
        table.setdefault(row["corruption"], []).append(row)
    errors = {}
    for name, members in table.items():
        error = float(np.mean([1 - row["accuracy"] for row in members]))
        clean = None if members[0]["clean"] is None else float(np.mean([1 - row["clean"] for row in members]))
        errors[name] = {"error": error, "clean": clean, "degradation": None if clean is None else error - clean}
    return errors


def against(errors: Mapping[str, Mapping], baseline: Mapping[str, Mapping], field: str) -> float | None:
    """Mean over corruptions of `field` divided by the baseline's (Hendrycks & Dietterich 2019, section 4.1).

    None if undefined.
    """
    ratios = [
        errors[name][field] / baseline[name][field]
        for name in errors
        if name in baseline and None not in (errors[name][field], baseline[name][field]) and baseline[name][field] > 0
    ]
    return float(np.mean(ratios)) if len(ratios) == len(errors) and ratios else None


def score_suite(
    name: str,
    conditions: Sequence[Condition],
    answered: Mapping,
    classes: tuple[str, ...],
    trained_with: Sequence[str] | None,
    clean: Mapping[int, bool],
) -> dict:
    """One suite's part of the scorecard.

    Mean accuracy with its interval, the conditions, corruption errors, pooled metrics. clean: test image -> whether it was answered
    rightly as it is; empty where that was not asked.
    """
    rows = []
    for condition in conditions:
        right = int((answered[condition.key] == condition.labels).sum())
        low, high = wilson(right, len(condition.labels))
        rows.append(
            {
                "corruption": condition.corruption,
                "severity": condition.severity,
                "n": len(condition.labels),
                "correct": right,
                "accuracy": right / len(condition.labels),
                "clean": float(np.mean([clean[row] for row in condition.rows.tolist()])) if clean else None,
                "low": low,
                "high": high,
                "seen": seen(condition.operations, trained_with),
            }
        )
    labels = np.concatenate([condition.labels for condition in conditions])
    predicted = np.concatenate([answered[condition.key] for condition in conditions])
    low, high = clustered(labels == predicted, np.concatenate([condition.rows for condition in conditions]))
    errors = corruption_errors(rows)
    expected = SUITES[name].corruptions if name in SUITES else ()
    marks = {row["corruption"]: row["seen"] for row in rows if row["corruption"] != "none"}
    suite = {
        "accuracy": float(np.mean([row["accuracy"] for row in rows])),
        "low": low,
        "high": high,
        "spread": float(np.std([1 - entry["error"] for entry in errors.values()])),
        "n": len(labels),
        "images": len(np.unique(np.concatenate([condition.rows for condition in conditions]))),
        "definition": conditions[0].definition,
        "corruptions": errors,
        "mean_corruption_error": float(np.mean([entry["error"] for entry in errors.values()])),
        "relative_corruption_error": None
        if not clean
        else float(np.mean([entry["degradation"] for entry in errors.values()])),
        "left_out": [corruption.name for corruption in expected if corruption.name not in errors],
        "seen": None if trained_with is None else [corruption for corruption, mark in marks.items() if mark],
        "metrics": dataclasses.asdict(measure(labels, predicted, classes)),
        "conditions": rows,
    }
    assert suite["low"] <= suite["metrics"]["accuracy"] <= suite["high"]
    return suite


def worst_images(conditions: Sequence[Condition], answered: Mapping, count: int = WORST) -> list[dict]:
    """The images that were got wrong most: first those wrong as they are, then by their share of wrong answers.

    Each: row (of the test images), label, called (what it was called most often when wrong), wrong and asked (answers
    about it), held_out_wrong.
    """
    size = 1 + max(int(condition.rows.max()) for condition in conditions)
    asked, wrong, clean_wrong = np.zeros(size, int), np.zeros(size, int), np.zeros(size, bool)
    label = np.zeros(size, int)
    highest = 1 + max(int(answered[condition.key].max()) for condition in conditions)
    calls = np.zeros((size, highest), int)
    for condition in conditions:
        predicted = answered[condition.key]
        mistaken = predicted != condition.labels
        np.add.at(asked, condition.rows, 1)
        np.add.at(wrong, condition.rows, mistaken)
        np.add.at(calls, (condition.rows[mistaken], predicted[mistaken]), 1)
        label[condition.rows] = condition.labels
        if condition.severity == 0:
            clean_wrong[condition.rows] |= mistaken
    share = wrong / np.maximum(asked, 1)
    order = sorted(np.flatnonzero(wrong), key=lambda row: (not clean_wrong[row], -share[row], -wrong[row], row))
    return [
        {
            "row": int(row),
            "label": int(label[row]),
            "called": int(calls[row].argmax()),
            "wrong": int(wrong[row]),
            "asked": int(asked[row]),
            "held_out_wrong": bool(clean_wrong[row]),
        }
        for row in order[:count]
    ]


def compare_with(card: dict, baseline: Mapping, name: str) -> dict:
    """Corruption errors of each suite over the baseline's, for suites of one definition.

    The others are named with the reason.
    """
    values: dict = {"name": name, "suites": {}, "not_compared": {}}
    for suite, entry in card["suites"].items():
        other = baseline.get("suites", {}).get(suite)
        if suite == "held-out":
            continue
        if other is None:
            values["not_compared"][suite] = "the baseline was not judged on it"
        elif other["definition"] != entry["definition"]:
            values["not_compared"][suite] = (
                "the baseline was judged on other images, another seed or an older definition"
            )
        else:
            values["suites"][suite] = {
                "mean_corruption_error": against(entry["corruptions"], other["corruptions"], "error"),
                "relative_corruption_error": against(entry["corruptions"], other["corruptions"], "degradation"),
            }
    return values


def seconds_per_1000(outcome: Outcome, images: int) -> float | None:
    """Seconds of prediction for 1,000 images: within Model.predict where the run measured it, else the whole step."""
    measured, count = outcome.condition_seconds, sum(outcome.images.values())
    if measured and count:
        return 1000 * sum(measured.values()) / count
    total = outcome.seconds.get("prediction")
    return 1000 * total / images if total and images else None


def assemble(
    conditions: Sequence[Condition],
    predictions: Mapping,
    *,
    classes: tuple[str, ...],
    outcome: Outcome,
    submission: Mapping,
    seed: int,
    recipe: Mapping | None = None,
    baseline: Mapping | None = None,
    baseline_name: str = "",
    device: str = "",
    competition: str = "",
    own_pairs: Sequence[tuple[Mapping, float]] = (),
    source: str = "",
    synthetic: bool = False,
) -> dict:
    """The scorecard of one submission as a JSON-able dict.

    predictions: condition key -> labels (n,) or the path of their .npy; may be empty where the outcome is a failure,
    then the card has no suites. submission: facts of the zip (file, zip_sha256, zip_bytes, weights_sha256, commit, run,
    team ...). recipe: the facts the training is known by, or None. baseline: the scorecard of another submission, whose
    name appears beside the ratios. own_pairs: (suite -> accuracy, the server's score), from which the forecast learns
    beside the public pairs (`Store.pairs`). source: which cells these are, in words; of synthetic ones nothing is forecast.
    """
    answered = {c.key: answers(c, predictions) for c in conditions if c.key in predictions}
    if outcome.status == "scored" and len(answered) != len(conditions):
        absent = next(condition.key for condition in conditions if condition.key not in answered)
        raise UserError(
            f"The submission left {len(conditions) - len(answered)} conditions unanswered, the first is {absent}."
        )
    trained_with = operations_trained_with(recipe)
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        if condition.key in answered:
            groups.setdefault(condition.suite, []).append(condition)
    clean = groups.get("held-out")
    right = (
        dict(zip(clean[0].rows.tolist(), (answered[clean[0].key] == clean[0].labels).tolist(), strict=True))
        if clean
        else {}
    )
    suites = {
        name: score_suite(name, members, answered, classes, trained_with, right) for name, members in groups.items()
    }
    accuracies = {name: suite["accuracy"] for name, suite in suites.items()}
    asked = [condition for members in groups.values() for condition in members]
    card = {
        "format": FORMAT,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "competition": competition,
        "classes": list(classes),
        "outcome": {
            key: value
            for key, value in dataclasses.asdict(outcome).items()
            if key not in ("predictions", "logs", "detailed_results")
        },
        "submission": {**dict.fromkeys(SUBMISSION), **submission},
        "recipe": None if recipe is None else dict(recipe),
        "trained_with": None if trained_with is None else list(trained_with),
        "source": source,
        "synthetic": synthetic,
        "seed": seed,
        "device": device,
        "images": sum(len(condition.labels) for condition in asked),
        "held_out": suites["held-out"]["metrics"] if "held-out" in suites else None,
        "suites": suites,
        "perturbed_accuracy": suites[GATE_SUITE]["accuracy"] if GATE_SUITE in suites else None,
        "seconds_per_1000": seconds_per_1000(outcome, sum(len(condition.labels) for condition in asked)),
        "peak_mib": outcome.peak_mib,
        "timing": None,  # what the hidden set would take: the rehearsal fills it in
        "baseline": None,
        "gates": None,  # packaging fills them in
        "attention": None,  # and this, where the network is at hand (build/attention.py)
        "worst": worst_images(asked, answered) if asked else [],
    }
    card["forecast"] = None if why_not(card) else Forecaster(own_pairs).predict(accuracies, bounds_of(suites))
    if baseline is not None:
        card["baseline"] = compare_with(card, baseline, baseline_name or "baseline")
    json.dumps(card, allow_nan=False, default=refuse)  # postcondition: it can be written
    return card


def refuse(value) -> str:
    """Paths become text; anything else that JSON does not know is a mistake of the caller."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"A scorecard holds plain values; {type(value).__name__} came.")


def write_json(card: Mapping, path: Path) -> None:
    """Write the scorecard as indented JSON, atomically."""
    write_text(Path(path), json.dumps(card, indent=1, allow_nan=False, default=refuse) + "\n")


def read_json(path: Path) -> dict:
    """Read a scorecard; UserError where the file is missing, damaged or of a newer format."""
    try:
        card = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no scorecard {path}; make one with `nox -s score -- ZIP`.") from error
    except (ValueError, OSError) as error:
        raise UserError(f"The scorecard {path} cannot be read ({error}); judge the zip again.") from error
    suites = card.get("suites") if isinstance(card, dict) else None
    whole = isinstance(suites, dict) and all({"corruptions", "definition"} <= set(suite) for suite in suites.values())
    if not whole or card.get("format") != FORMAT:
        raise UserError(f"The file {path} is no scorecard of format {FORMAT}; judge the zip again.")
    return card
