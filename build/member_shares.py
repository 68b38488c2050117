"""The weight of each network in an ensemble's answer, fitted on the validation cells, clean and perturbed.

    shares = shares_of(open_members(["ID_1", "ID_2"]))       # [0.34, 0.66]

The mean of a network and a weaker one that errs elsewhere is better with the weaker one's share below a half (LOG.md, 2026-11-30).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from build.console import console
from build.errors import UserError
from build.files import arrays
from build.processes import NO_GPU, environment, last_line
from build.runs import Run

PROCESS = "build.train.member_logits"
FEWEST = 100
"""Answers, of which every cell gives two; fewer tell nothing, and all members get the same share."""
DIGITS = 3
"""Of a share: what a sum's last bits change must not change a zip."""


def shares_of(runs: Sequence[Run]) -> list[float]:
    """The share of each run's network, 0..1, in all 1; says them. UserError if the networks cannot be asked."""
    if len(runs) == 1:
        return [1.0]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "logits.npz"
        job = {"runs": [str(run.folder) for run in runs], "out": str(out)}
        # On the processor: whoever packages, a sweep for one, may hold all of a GPU's memory.
        variables = environment() | NO_GPU
        with console.status("Asking the members on the validation cells"):
            done = subprocess.run(
                [sys.executable, "-m", PROCESS, json.dumps(job)],
                env=variables,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise UserError(
                f"The members could not be asked on the validation cells of run {runs[0].id} (exit code {done.returncode}): "
                f"{last_line(done.stderr) or 'no message'}"
            )
        held = arrays(out)
    labels, shares = held["labels"], fit(held["logits"], held["labels"])
    if shares is None:
        told = f"Equal shares in the answer: {len(labels)} answers on validation cells give no better ones."
        console.print(told, style="yellow", markup=False)
        return [round(1 / len(runs), DIGITS)] * len(runs)
    told = ", ".join(
        f"{run.recipe.name} ({run.id}) {share:.{DIGITS}f}" for run, share in zip(runs, shares, strict=True)
    )
    console.print(f"Shares in the answer, by the validation cells: {told}.", markup=False)
    if silent := [run.id for run, share in zip(runs, shares, strict=True) if not share]:
        told = f"{', '.join(silent)} has no share, but costs its time and size: package the others without it."
        console.print(told, style="yellow", markup=False)
    return shares


def fit(logits: np.ndarray, labels: np.ndarray) -> list[float] | None:
    """Shares of logits (members, n, K), each 0..1 and in all 1, by which the labels (n,) are the most likely.

    The loss is the cross-entropy of the weighted sum (logarithmic opinion pool: Heskes 1998), which is convex in the weights, 0 or
    more; their sum is a temperature that no label depends on, and is divided out. None where there are fewer than FEWEST labels, or
    where every member does harm.
    """
    members, count = logits.shape[:2]
    if count < FEWEST:
        return None
    rows = np.arange(count)
    stacked = logits.astype(np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean cross-entropy and its gradient."""
        log_p = log_softmax(np.tensordot(weights, stacked, 1), axis=1)
        error = np.exp(log_p)
        error[rows, labels] -= 1
        return -log_p[rows, labels].mean(), np.tensordot(stacked, error, 2) / count

    found = minimize(loss, np.full(members, 1 / members), jac=True, bounds=[(0, None)] * members).x
    return [round(float(weight / found.sum()), DIGITS) for weight in found] if found.sum() > 0 else None
