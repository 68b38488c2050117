"""Scoring program: compares the predicted labels with the true ones; writes scores.json and detailed_results.html.

    python3 scoring.py INPUT OUTPUT

INPUT/ref/conditions.json names the sets and their true labels, INPUT/res/predictions/KEY.npy holds what the ingestion program wrote.
scores.json: accuracy, and precision, recall, f1 weighted by class, over all images; accuracy_SUITE as the mean over a suite's sets where
there are several suites. Standard library and numpy only; runs on Python 3.9 or newer.
"""

import html
import json
import os
import sys

import numpy as np
from podium_labels import breach


def fail(output, sentence, remedy=""):
    """Say why there is no score, leave it as failure.json, end with exit code 1."""
    with open(os.path.join(output, "failure.json"), "w", encoding="utf-8") as file:
        json.dump({"stage": "scoring", "error": "predictions", "sentence": sentence, "remedy": remedy}, file)
    print(sentence, file=sys.stderr)
    sys.exit(1)


def predicted(path, key, count, classes, output):
    """The labels that the ingestion program left for one set."""
    if not os.path.isfile(path):
        fail(output, f"There are no predictions for {key}; the ingestion log of the prediction step says why.")
    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        fail(output, f"The predictions for {key} cannot be read ({error}).")
    if found := breach(labels, count, classes):
        fail(output, f"{key}: {found[1]}", found[2])
    return labels


def weighted(confusion):
    """Precision, recall and F1 of a (K, K) confusion matrix (rows true, columns predicted), weighted by the true counts."""
    right = np.diag(confusion).astype(float)
    true, said = confusion.sum(1).astype(float), confusion.sum(0).astype(float)
    precision = np.divide(right, said, out=np.zeros_like(right), where=said > 0)
    recall = np.divide(right, true, out=np.zeros_like(right), where=true > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(right), where=total > 0)
    share = true / true.sum()
    return float(precision @ share), float(recall @ share), float(f1 @ share)


def page(rows, confusion, names):
    """A small self-contained page: accuracy of each set, confusion matrix."""
    cells = "".join(
        f"<tr><td>{html.escape(key)}</td><td>{count}</td><td>{value:.4f}</td></tr>" for key, count, value in rows
    )
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    matrix = "".join(
        f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{int(value)}</td>" for value in line) + "</tr>"
        for name, line in zip(names, confusion)
    )
    style = (
        "body{font:14px sans-serif}table{border-collapse:collapse;margin:1em 0}"
        "td,th{border:1px solid #ccc;padding:2px 8px;text-align:right}"
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>Results</title><style>{style}</style><h1>Results</h1>"
        f"<table><tr><th>set</th><th>images</th><th>accuracy</th></tr>{cells}</table>"
        f"<h2>Confusion (rows: true, columns: predicted)</h2><table><tr><th></th>{heads}</tr>{matrix}</table>"
    )


def main(data, output):
    """Score all sets."""
    reference, result = os.path.join(data, "ref"), os.path.join(data, "res", "predictions")
    with open(os.path.join(reference, "conditions.json"), encoding="utf-8") as file:
        plan = json.load(file)
    classes = len(plan["classes"])
    confusion = np.zeros((classes, classes), np.int64)
    rows, suites = [], {}
    for condition in plan["conditions"]:
        key = condition["key"]
        true = np.load(os.path.join(reference, condition["labels"]), allow_pickle=False)
        said = predicted(os.path.join(result, key + ".npy"), key, len(true), classes, output)
        np.add.at(confusion, (true, said), 1)
        accuracy = float((true == said).mean())
        rows.append((key, len(true), accuracy))
        suites.setdefault(condition["suite"], []).append(accuracy)
    precision, recall, f1 = weighted(confusion)
    scores = {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    if len(suites) > 1:
        scores.update({f"accuracy_{suite}": float(np.mean(values)) for suite, values in suites.items()})
    with open(os.path.join(output, "scores.json"), "w", encoding="utf-8") as file:
        json.dump(scores, file)
    with open(os.path.join(output, "detailed_results.html"), "w", encoding="utf-8") as file:
        file.write(page(rows, confusion, plan["classes"]))
    for key, count, accuracy in rows:
        print(f"{key}: {accuracy:.4f} of {count} images")


if __name__ == "__main__":
    main(*sys.argv[1:3])
