"""Starts tfmot's process (build/compress/tfmot_job.py) and waits for its weights; says in one sentence why there are none.

tfmot has a process of its own since its import switches Keras 3 off for whatever is imported later.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from build.console import bar
from build.errors import UserError
from build.processes import NO_GPU, environment, last_line
from submission import weights

PACKAGES = ("tensorflow_model_optimization", "tf_keras")


def missing() -> list[str]:
    """The packages of tfmot's process that are not installed."""
    return [package for package in PACKAGES if importlib.util.find_spec(package) is None]


def run(method, material) -> dict[str, np.ndarray]:
    """All weights after `method` (a candidates.Method with tfmot set); UserError where a package is absent or the process fails."""
    if absent := missing():
        raise UserError(
            f"{method.name} needs {' and '.join(absent)}, which the dependency group `compress` brings: nox -s compress."
        )
    steps = material.fine_tuning_steps
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "weights.npz"
        job = {"run": str(material.run.folder.resolve()), "zeros": method.zeros, "values": method.values}
        command = [
            sys.executable,
            "-m",
            "build.compress.tfmot_job",
            json.dumps(job | {"steps": steps, "out": str(out)}),
        ]
        log = Path(scratch) / "log"
        stages = bool(method.zeros) + bool(method.values)
        # On the processor: this process holds a GPU's memory by now.
        variables = environment() | NO_GPU
        with (
            log.open("w") as errors,
            bar(f"tfmot {method.name}", stages * steps, "steps") as advance,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables) as process,
        ):
            for line in process.stdout:
                if line.startswith("step "):
                    advance()
        if process.returncode:
            last = last_line(log.read_text(errors="replace")) or "no message"
            raise UserError(f"{method.name} failed in tfmot's process (exit code {process.returncode}): {last}")
        return weights.load(out)[0]
