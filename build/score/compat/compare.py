"""A zip's answers under one set of versions, in a fresh process, and how far two sets' answers are apart.

    images = fixture(held_out.default(), Path("data/suites"), rows=64, folder=scratch)
    answer = ask(zip_path, python, images, scratch)
    difference(answer, reference)

The zip is not isolated here: it is run with the rights of whoever asks. Judge a foreign one first.
"""

import dataclasses
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from build.files import arrays, save_array
from build.processes import last_line
from build.score.environment import ServerEnvironment, version
from build.score.explain import explain
from build.score.held_out import HeldOut, Rows
from build.score.outcome import one_line
from build.score.seen import Seen
from build.score.suites import choose_rows, materialise
from build.score.unpack import unpack

PROGRAM = Path(__file__).resolve().parent.parent / "programs" / "answer.py"
PERTURBED, SEVERITY = "basic", 3
LONGEST = 600
"""Seconds after which a set's answer is given up: a phase's own limit."""
TOLERANCE = 1e-4
"""Largest difference of two logits, as a share of the largest logit where that is above 1: float32 holds seven digits, and other
versions add in another order."""


@dataclass
class Answer:
    """What a zip said under one set of versions."""

    versions: dict[str, str] = field(default_factory=dict)
    """Of python, tensorflow, keras and numpy."""
    seconds: dict[str, float] = field(default_factory=dict)
    """import, load, first (from the start of Python's work to the first label), predict."""
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    """Kind of images -> (n,) int64."""
    logits: dict[str, np.ndarray] = field(default_factory=dict)
    """Kind of images -> (n, classes) float; empty for a zip that does not show its logits."""
    problem: str = ""
    """Why there is no answer, in one sentence."""
    cpu_ms: float | None = None
    """Processor milliseconds an image in batches of 64, median of the rounds asked for."""


@dataclass(frozen=True)
class Difference:
    """Of two answers to the same images."""

    images: int
    labels: int
    """Images with another label."""
    logits: float | None
    """Largest difference of a logit; None where either does not show them."""
    scale: float
    """Largest logit."""

    @property
    def equal(self) -> bool:
        """Every label is the same, and every logit within TOLERANCE."""
        return not self.labels and (self.logits is None or self.logits <= TOLERANCE * max(1.0, self.scale))


def fixture(held: HeldOut, cache: Path, *, rows: int, folder: Path) -> dict[str, Path]:
    """Write the images that every set is asked about, the same each time: kind -> .npy file.

    "clean uint8" and "perturbed uint8" (the suite `basic` at severity 3), and both as float32 with fractions of pixels.
    """
    chosen = choose_rows(held.labels, rows, rng=np.random.default_rng(held.seed))
    clean = np.ascontiguousarray(held.images[chosen])
    conditions = materialise(
        (PERTURBED,),
        Rows(clean, np.arange(len(clean))),
        held.labels[chosen],
        seed=held.seed,
        rows_per_condition=max(8, rows // 8),
        cache=cache,
    )
    damaged = np.concatenate([np.load(one.images_path) for one in conditions if one.severity == SEVERITY])
    paths = {}
    for name, images in (("clean", clean), ("perturbed", damaged)):
        # Not the whole numbers again: a version that rounds floats would not be seen.
        for kind, array in (("uint8", images), ("float32", images.astype(np.float32) * 0.98 + 0.6)):
            paths[f"{name} {kind}"] = folder / f"{name}-{kind}.npy"
            save_array(paths[f"{name} {kind}"], array)
    return paths


def ask(zip_path: Path, python: Path, images: dict[str, Path], scratch: Path, *, rounds: int = 0) -> Answer:
    """Unpack the zip into a new folder and let a fresh process of `python` answer; what fails is the answer's problem."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name).resolve()
        submission = folder / "submission"
        if refusal := unpack(zip_path, submission):
            return Answer(problem=refusal.sentence)
        request = {
            "submission": str(submission),
            "images": {key: str(path.resolve()) for key, path in images.items()},
            "answers": str(folder / "answers.npz"),
            "report": str(folder / "report.json"),
            "rounds": rounds,
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        command = [str(python), "-I", "-B", str(PROGRAM), str(folder / "request.json")]
        # A GPU would differ for reasons that no version has.
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
        try:
            done = subprocess.run(
                command, env=os.environ | quiet, capture_output=True, errors="replace", timeout=LONGEST, check=False
            )
        except subprocess.TimeoutExpired:
            return Answer(problem=f"It did not answer within {LONGEST} s.")
        except OSError as error:
            return Answer(problem=f"{python} cannot be run ({error.strerror}).")
        if not Path(request["report"]).is_file():
            said = one_line(last_line(done.stderr)) or "it said nothing"
            return Answer(problem=f"Its process ended with code {done.returncode}: {said}")
        return _read(request, submission)


def _read(request: dict, submission: Path) -> Answer:
    report = json.loads(Path(request["report"]).read_text(encoding="utf-8"))
    answer = Answer(report["versions"], report["seconds"], cpu_ms=report.get("cpu_ms"))
    if failure := report["failure"]:
        server = ServerEnvironment.read()
        if version(report["versions"].get("numpy", "")) < (2,):  # what this one lacks the server's may not have
            server = dataclasses.replace(server, certain={k: v for k, v in server.certain.items() if k != "numpy"})
        known = explain(Seen.of(failure, submission, server))
        # Where it was unpacked says nothing to anybody.
        sentence = (known[0] if known else f"{failure['sentence']}.").replace(f"{submission}{os.sep}", "")
        answer.problem = one_line(sentence)
        return answer
    for key, array in arrays(Path(request["answers"])).items():
        kind, _, images = key.partition(" ")
        if kind == "labels":
            count = len(np.load(request["images"][images], mmap_mode="r"))
            if array.shape != (count,):
                answer.problem = f"Model.predict returned shape {array.shape} for {count} images, expected ({count},)."
                return answer
        (answer.labels if kind == "labels" else answer.logits)[images] = array
    return answer


def difference(answer: Answer, reference: Answer) -> Difference:
    """How far an answer is from the reference; both are without a problem and to the same images."""
    assert answer.labels.keys() == reference.labels.keys()
    labels = images = 0
    for kind, expected in reference.labels.items():
        images += len(expected)
        found = answer.labels[kind]
        labels += len(expected) if found.shape != expected.shape else int((found != expected).sum())
    if not (answer.logits and reference.logits):
        return Difference(images, labels, None, 0.0)
    furthest = [np.abs(answer.logits[kind] - expected).max() for kind, expected in reference.logits.items()]
    scale = [np.abs(expected).max() for expected in reference.logits.values()]
    # NaN must not pass for close.
    return Difference(images, labels, float(np.nan_to_num(np.max(furthest), nan=np.inf)), float(np.max(scale)))
