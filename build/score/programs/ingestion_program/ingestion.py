"""Ingestion program: predicts every set of test images with the submission's Model and writes the labels.

    python3 ingestion.py INPUT OUTPUT SUBMISSION

INPUT/conditions.json names the sets; OUTPUT/predictions/KEY.npy gets one integer label an image. Each set is a call of Model.predict,
or with "one_call" all of them together are one, in mixed order: a hidden set comes as one array. OUTPUT/timing.json grows with each
call. Where the submission fails, OUTPUT/failure.json says how, the last line of standard error says it in a sentence, and the exit
code is 1. Needs numpy only; runs on Python 3.9 or newer.
"""

import json
import os
import resource
import sys
import time

import numpy as np
from podium_labels import breach
from podium_loading import Stopped, attempt, load, write_json

load_array, save_array = np.load, np.save  # before the submission, in this same process, can replace them


def main(data, output, submission):
    """Predict all sets; Stopped where the submission fails."""
    with open(os.path.join(data, "conditions.json"), encoding="utf-8") as file:
        plan = json.load(file)
    os.makedirs(os.path.join(output, "predictions"), exist_ok=True)
    timing = {"startup": 0.0, "conditions": {}, "images": {}, "peak_mib": 0.0}
    if plan.get("working_directory") == "submission":
        os.chdir(submission)
    began = time.perf_counter()
    module = load(submission)
    model = attempt("init", submission, module.Model)
    timing["startup"] = time.perf_counter() - began
    conditions = plan["conditions"]
    for called in [conditions] if plan.get("one_call") else [[condition] for condition in conditions]:
        images, places = mixed(data, called)
        began = time.perf_counter()
        returned = attempt("predict", submission, lambda images=images: model.predict(images))
        seconds = time.perf_counter() - began
        for condition, rows in zip(called, places):
            timing["conditions"][condition["key"]] = seconds * len(rows) / len(images)
            timing["images"][condition["key"]] = len(rows)
        timing["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        write_json(os.path.join(output, "timing.json"), timing)
        if found := breach(returned, len(images), plan["classes"]):
            kind, sentence, remedy = found
            raise Stopped("contract", kind, sentence, file="model.py", remedy=remedy)
        labels = np.asarray(returned).astype(np.int64)
        for condition, rows in zip(called, places):
            with open(os.path.join(output, "predictions", condition["key"] + ".npy"), "wb") as file:
                save_array(file, labels[rows], allow_pickle=False)


def mixed(data, conditions):
    """These sets of images as one array in mixed order, and the rows of each set; a single set keeps its order.

    Of a set that is divided between jobs, "rows" are the first and the one after the last of this job's.
    """
    paths = [os.path.join(data, condition["images"]) for condition in conditions]
    if len(conditions) == 1 and "rows" not in conditions[0]:
        images = load_array(paths[0], allow_pickle=False)
        return images, [np.arange(len(images))]
    sets = [load_array(path, mmap_mode="r", allow_pickle=False) for path in paths]
    sets = [images[slice(*condition.get("rows", [None]))] for images, condition in zip(sets, conditions)]
    if len(sets) == 1:
        return np.array(sets[0]), [np.arange(len(sets[0]))]
    # Mixed, so that a network that adapts to the images of a call does not find one corruption at one strength in it.
    order = np.random.default_rng(0).permutation(sum(map(len, sets)))
    places = np.split(order, np.cumsum([len(one) for one in sets])[:-1])
    images = np.empty((len(order), *sets[0].shape[1:]), sets[0].dtype)
    for one, rows in zip(sets, places):
        images[rows] = one
    return images, places


if __name__ == "__main__":
    try:
        main(*sys.argv[1:4])
    except Stopped as stopped:
        write_json(os.path.join(sys.argv[2], "failure.json"), stopped.record)
        print(stopped, file=sys.stderr)
        sys.exit(1)
