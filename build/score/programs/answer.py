"""Answers images with a submission in whatever environment runs it: `python -I answer.py REQUEST.json`.

The request is {"submission": folder, "images": {key: .npy file}, "answers": .npz file, "report": JSON file, "rounds": n}. The report
holds versions, seconds and, where it fails, the record of podium_loading.py; with rounds > 0 also the processor's milliseconds an image.
"""

import json
import os
import sys
import time

BATCH = 64
START = time.perf_counter()
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import podium_loading as loading  # noqa: E402


def versions():
    """Of Python and the packages that matter, as far as they are installed."""
    from importlib import metadata

    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("tensorflow", "keras", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def main(path):
    """Answer the request; what the submission raises ends up in the report."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    report = {"versions": versions(), "seconds": {}, "failure": None}
    try:
        answer(request, report)
    except loading.Stopped as stopped:
        report["failure"] = stopped.record
    loading.write_json(request["report"], report)


def answer(request, report):
    """Load the submission, predict every array of images, measure."""
    submission, seconds = request["submission"], report["seconds"]
    # Where the competition's own ingestion program works: files named by relative paths are found.
    os.chdir(submission)
    module = loading.load(submission)
    seconds["import"] = time.perf_counter() - START
    model = loading.attempt("init", submission, module.Model)
    seconds["load"] = time.perf_counter() - START - seconds["import"]
    import numpy as np

    logits = getattr(getattr(model, "predictor", None), "logits", None)
    found, images = {}, None
    for key, name in request["images"].items():
        images = np.load(name)
        if "first" not in seconds:
            # Until the first image has its label: what a network compiles or traces on its first call is in it.
            loading.attempt("predict", submission, model.predict, images[:1])
            seconds["first"] = time.perf_counter() - START
        start = time.perf_counter()
        labels = loading.attempt("predict", submission, model.predict, images)
        seconds["predict"] = seconds.get("predict", 0) + time.perf_counter() - start
        found["labels " + key] = loading.attempt("predict", submission, np.asarray, labels, np.int64)
        if logits is not None:
            found["logits " + key] = loading.attempt("predict", submission, logits, images)
    if request.get("rounds") and images is not None:
        batch = np.resize(images, (BATCH, *images.shape[1:]))
        spent = []
        for _ in range(request["rounds"] + 1):
            start = time.process_time()
            loading.attempt("predict", submission, model.predict, batch)
            spent.append((time.process_time() - start) * 1000 / BATCH)
        # The first may still trace this size of batch.
        report["cpu_ms"] = float(np.median(spent[1:]))
    np.savez(request["answers"], **found)


if __name__ == "__main__":
    main(sys.argv[1])
