"""What the judge adds to the run of a submission: `python -m build.bench judge`.

A real submission (model.py, submission/, the weights of a random ConvNeXt-Atto) predicts 1,000 images at 96x96, bare (a process that
imports model.py, makes Model, calls predict once) and under the judge: lint, bundle, unpacking, both jobs in the sandbox, verdict.
Wall seconds of whole processes, in turns, median of rounds; processor seconds beside them, which other work on the machine does not
change. The probes are further calls of the model and not the judge's own work: they are measured apart, once. Results also go to
runs/bench/judge.json.

Expected on two cores of an EPYC 9004: 7 processor seconds bare, about 1 more under the judge, 14 with the probes.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from build.bench import turns
from build.bench.memory import stage
from build.console import console, muffled
from build.errors import UserError
from build.files import write_zip
from build.score.judge import judge
from build.score.suites import Condition
from submission.contract import CLASSES, IMAGE_SHAPE

IMAGES, ROUNDS = 1000, 3
TARGET_SECONDS, TARGET_SHARE = 3.0, 0.10
BARE = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from model import Model
np.save(sys.argv[3], Model().predict(np.load(sys.argv[2])))
"""


def main() -> None:
    """Measure, print a table, write runs/bench/judge.json."""
    begun = turns.begin(f"The judge on {IMAGES} images")
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name:
        turns.save("judge", begun | measure(Path(name)))


def measure(folder: Path) -> dict:
    """Time the bare run and the judge in turns and the probes once; print the table. Files go to `folder`."""
    submission, zip_path, condition = prepare(folder)
    bare_labels = folder / "bare.npy"
    engines = []

    def bare() -> None:
        # As the sandbox has it: no accelerator, no word.
        env = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        call = [sys.executable, "-c", BARE, str(submission), str(condition.images_path), str(bare_labels)]
        # A session of its own, as the sandbox has: a busy kernel shares its time among sessions.
        subprocess.run(call, check=True, env=env, capture_output=True, start_new_session=True)

    def judged(*, probes: bool = False) -> None:
        verdict = judge(
            zip_path, [condition], scratch=folder / "scratch", keep=folder / f"kept-{len(engines)}", probes=probes
        )
        if verdict.exit_code:
            raise UserError(f"The judge does not score the bench's own submission: {verdict.sentence}")
        engines.append(verdict.outcome.engine)
        labels = np.load(verdict.outcome.predictions[condition.key])
        assert np.array_equal(labels, np.load(bare_labels)), "the judge's run predicts otherwise than the bare one"

    bare()  # fills the disk cache
    rounds = [(clocked(bare), clocked(judged)) for _ in range(ROUNDS)]
    probing = clocked(lambda: judged(probes=True))
    (bare_wall, bare_cpu), (judge_wall, judge_cpu) = np.median(rounds, axis=0)
    added = {"wall": judge_wall - bare_wall, "processor": judge_cpu - bare_cpu}
    allowed = {
        kind: TARGET_SECONDS + TARGET_SHARE * bare for kind, bare in (("wall", bare_wall), ("processor", bare_cpu))
    }
    table = Table("Run", title=f"Median of {ROUNDS} rounds, engine {engines[0]}", title_justify="left")
    for head in ("wall s", "processor s"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_row("bare Model.predict", f"{bare_wall:.2f}", f"{bare_cpu:.2f}")
    table.add_row("judge without probes", f"{judge_wall:.2f}", f"{judge_cpu:.2f}", style="bold green")
    table.add_row("judge with probes (once)", f"{probing[0]:.2f}", f"{probing[1]:.2f}")
    console.print(table)
    for kind in added:
        verdict = "met" if added[kind] <= allowed[kind] else "[red]missed[/]"
        console.print(
            f"Target: at most {TARGET_SECONDS:g} s + {TARGET_SHARE:.0%} in {kind} time: {verdict} "
            f"({added[kind]:.2f} of {allowed[kind]:.2f} s added)."
        )
    return {
        "engine": engines[0],
        "images": IMAGES,
        "bare": {"wall_s": round(bare_wall, 2), "cpu_s": round(bare_cpu, 2)},
        "judge": {"wall_s": round(judge_wall, 2), "cpu_s": round(judge_cpu, 2)},
        "judge_with_probes": {"wall_s": round(probing[0], 2), "cpu_s": round(probing[1], 2)},
        "added_s": {kind: round(seconds, 2) for kind, seconds in added.items()},
        "allowed_s": {kind: round(seconds, 2) for kind, seconds in allowed.items()},
    }


def prepare(folder: Path) -> tuple[Path, Path, Condition]:
    """(unpacked submission, its zip, one set of random images): what both runs are given."""
    submission = folder / "submission"
    with muffled():
        stage(submission, {"network": "convnext", "size": "atto"}, views=1)
    write_zip(submission, folder / "submission.zip")
    rng = np.random.default_rng(0)
    path = folder / "images.npy"
    np.save(path, rng.integers(0, 256, (IMAGES, *IMAGE_SHAPE), np.uint8))
    labels, rows = rng.integers(0, len(CLASSES), IMAGES), np.arange(IMAGES)
    return submission, folder / "submission.zip", Condition("held-out", "none", 0, path, labels, rows)


def clocked(run: Callable[[], None]) -> tuple[float, float]:
    """(wall seconds, processor seconds of this process and all that it started and waited for)."""

    def spent() -> float:
        return sum(
            usage.ru_utime + usage.ru_stime
            for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        )

    wall, processor = time.perf_counter(), spent()
    run()
    return time.perf_counter() - wall, spent() - processor
