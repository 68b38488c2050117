"""Memory of a prediction: `python -m build.bench memory`.

100,000 images of 96x96 (2.8 GB) through `Model.predict` of what would be uploaded, ConvNeXt atto, with 1 view, and 10,000 with 8:
how far the peak of resident memory (Linux: VmHWM) rises above what the loaded and warmed-up model takes. The images are an array of
zeros that nobody writes to, so it takes no memory itself and every copy of it is seen. Results also go to runs/bench/memory.json.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.table import Table

from build.bench import turns
from build.console import console
from build.errors import UserError
from build.package import copy_code
from build.processes import last_line
from submission import contract

CASES = ((100_000, 1), (10_000, 8))
"""Images and views of each; eight views of the larger number would take ten minutes and copy no more."""
MOST = 300.0
"""MiB that a prediction of any number of images may take."""
CHILD = """
import json, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from model import Model

def mib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

shape = (int(sys.argv[2]), *json.loads(sys.argv[3]))
model = Model()
model.predict(np.zeros((128, *shape[1:]), np.uint8))  # loads and traces all that a prediction needs
images = np.zeros(shape, np.uint8)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = mib("VmRSS:")
labels = model.predict(images)
assert labels.shape == shape[:1]
print(json.dumps({"loaded_mib": before, "growth_mib": mib("VmHWM:") - before}))
"""


def main() -> None:
    """Measure, print a table, write runs/bench/memory.json."""
    begun, facts = turns.begin("Memory of a prediction"), {}
    grid = Table("ConvNeXt atto", title=f"Target: at most {MOST:.0f} MiB more", title_justify="left")
    for column in ("loaded, MiB", "more, MiB"):
        grid.add_column(column, justify="right")
    for images, views in CASES:
        case = f"{images:,} images, {views} view{'s' if views > 1 else ''}"
        with tempfile.TemporaryDirectory() as folder:
            stage(Path(folder), {"network": "convnext", "size": "atto"}, views=views)
            facts[case] = found = growth(Path(folder), images)
        grid.add_row(case, f"{found['loaded_mib']:,.0f}", f"{found['growth_mib']:,.0f}")
    console.print(grid)
    turns.save("memory", begun | facts)


def stage(folder: Path, network: dict, *, views: int) -> None:
    """Put what would be uploaded into `folder`, with untrained weights of the network."""
    from submission import weights
    from submission.network import build, complete, variables

    spec = complete({**network, "classes": len(contract.CLASSES), "image_shape": list(contract.IMAGE_SHAPE)})
    copy_code(folder)
    arrays = {name: np.asarray(value) for name, value in variables(build(spec)).items()}
    weights.save(folder / "weights.npz", arrays, {"spec": spec, "views": views}, storage="float32")


def growth(folder: Path, count: int) -> dict[str, float]:
    """loaded_mib and growth_mib of predicting `count` images with the submission in `folder`, in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        raise UserError("The peak of memory is read from /proc, which this system does not have; measure it on Linux.")
    command = [sys.executable, "-c", CHILD, str(folder), str(count), json.dumps(contract.IMAGE_SHAPE)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=folder)
    if done.returncode:
        raise UserError(
            f"The submission in {folder} does not predict: {last_line(done.stderr) or 'no message'}; repair it."
        )
    return json.loads(done.stdout)
