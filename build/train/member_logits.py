"""What several networks answer on the validation cells of the first one's run: a process of its own, started by build/member_shares.py.

    python -m build.train.member_logits '{"runs": [FOLDER, FOLDER], "out": "logits.npz"}'

A process of its own, since the framework would hold memory while the judge rehearses.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from build.data.prepare import Prepared
from build.errors import UserError
from build.run_cells import cells_of_run, split_of
from build.runs import Run
from build.train.validation import Validation
from submission.inference import Predictor
from submission.weights import WeightsError


def measure(runs: list[Run], cache: Path = Path("data")) -> tuple[np.ndarray, np.ndarray]:
    """Logits (members, n, K) float32 with one view an image, and labels (n,) int64.

    The images are the first run's validation cells that no other member was trained on, as they are and once more as the first run's
    recipe perturbs them; n may be 0.
    """
    first, *others = runs
    cells, split = cells_of_run(first, cache)
    for other in others:
        split = dataclasses.replace(split, validation=np.setdiff1d(split.validation, split_of(other).train))
    networks = [Predictor(run.weights_path, views=1) for run in runs]
    logits, labels = [[] for _ in runs], []
    validation = Validation(Prepared(cells, None, split), first.recipe, seed=first.facts["seed"], workers=2)
    for augmentation in validation.kinds.values() if len(split.validation) else ():
        with validation.batches(augmentation) as batches:
            for index in range(len(batches)):
                pixels, wanted = batches[index]
                labels.append(wanted.argmax(1))
                for answers, network in zip(logits, networks, strict=True):
                    answers.append(network.logits(pixels))
    if not labels:
        return np.zeros((len(runs), 0, networks[0].spec["classes"]), np.float32), np.zeros(0, np.int64)
    return np.stack([np.concatenate(answers) for answers in logits]), np.concatenate(labels)


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    try:
        logits, labels = measure([Run(Path(folder)) for folder in job["runs"]])
    except (UserError, WeightsError) as error:
        sys.exit(str(error))
    np.savez(job["out"], logits=logits, labels=labels)
