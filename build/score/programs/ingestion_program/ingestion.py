"""Ingestion program: predicts every set of test images with the submission's Model and writes the labels.

    python3 ingestion.py INPUT OUTPUT SUBMISSION

INPUT/conditions.json names the sets; OUTPUT/predictions/KEY.npy gets one integer label an image. OUTPUT/timing.json grows with each
set. Where the submission fails, OUTPUT/failure.json says how, the last line of standard error says it in a sentence, and the
exit code is 1. Needs numpy only; runs on Python 3.9 or newer.
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
    for condition in plan["conditions"]:
        images = load_array(os.path.join(data, condition["images"]), allow_pickle=False)
        began = time.perf_counter()
        returned = attempt("predict", submission, lambda images=images: model.predict(images))
        timing["conditions"][condition["key"]] = time.perf_counter() - began
        timing["images"][condition["key"]] = len(images)
        timing["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        write_json(os.path.join(output, "timing.json"), timing)
        if found := breach(returned, len(images), plan["classes"]):
            kind, sentence, remedy = found
            raise Stopped("contract", kind, sentence, file="model.py", remedy=remedy)
        with open(os.path.join(output, "predictions", condition["key"] + ".npy"), "wb") as file:
            save_array(file, np.asarray(returned).astype(np.int64), allow_pickle=False)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:4])
    except Stopped as stopped:
        write_json(os.path.join(sys.argv[2], "failure.json"), stopped.record)
        print(stopped, file=sys.stderr)
        sys.exit(1)
