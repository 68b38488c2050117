"""Knowledge distillation (Hinton et al. 2015): a student learns the answers of larger networks, or of several, beside the labels.

    python -m build train --data D --recipe R --teacher RUN [--teacher RUN ...]

    found = find(recipe, prepared)                       # the teachers' weights files, checked
    teacher = Teacher([known.path for known in found])
    logits = teacher(pixels)                             # (B, H, W, 3) -> (B, K)

As in Beyer et al. 2022 ("A good teacher is patient and consistent", section 3) the teacher sees the very view that the student sees,
mixed images too, so its answers are computed in the training step and cannot be stored beforehand.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
from keras import ops

from build.errors import UserError
from build.files import sha256
from build.members import open_network
from build.recipe import Recipe
from build.train import unseen
from submission import ensemble, inference
from submission.weights import WeightsError


class TeacherFile(NamedTuple):
    """A teacher as the recipe names it, its weights file, and that file's hash."""

    name: str
    path: Path
    sha256: str

    @property
    def facts(self) -> dict[str, str]:
        """What a run remembers of it."""
        return {"teacher": self.name, "sha256": self.sha256}


def find(recipe: Recipe, prepared, root: Path = Path("runs")) -> list[TeacherFile]:
    """The weights files of the recipe's teachers: each a run's ID or folder, or a file. Empty where the recipe has none.

    Raises UserError where a file is missing or a teacher was trained on cells that the student is tested with.
    """
    return [_checked(name, prepared, root) for name in recipe.teachers]


def describe(recipe: Recipe) -> str:
    """One sentence for people: who teaches, and how much."""
    return (
        f"Taught by {', '.join(recipe.teachers)}: weight {recipe.teacher_weight:g} at temperature "
        f"{recipe.teacher_temperature:g}, the labels have the rest."
    )


def _checked(name: str, prepared, root: Path) -> TeacherFile:
    path = Path(name) if Path(name).is_file() else open_network(name, root).weights_path
    unseen.check(f"The teacher {name}", path, prepared.split)
    return TeacherFile(name, path, sha256(path))


class Teacher:
    """The networks of some weights files, in float32 and in inference; they answer with the mean of their logits.

    Networks of one file keep the shares among them that the file gives, so an ensemble teaches what it answers.
    """

    def __init__(self, paths: Sequence[Path]):
        """Rebuild the networks; UserError with one sentence if a file is damaged or not of this contract."""
        self._members = []
        try:
            for path in paths:
                members, meta = inference.read(path)
                self._members += [
                    (inference.forward(spec, arrays, path), spec["image_shape"], share * len(members))
                    for (spec, arrays), share in zip(members, meta[ensemble.SHARES], strict=True)
                ]
        except WeightsError as error:
            raise UserError(f"A teacher cannot be used: {error}") from error

    def __call__(self, pixels):
        """(B, H, W, 3) pixels 0..255 of any dtype -> logits (B, K) float32, without a gradient.

        Of views (B, 3, H, W, 3) it sees the plain ones: the consistency loss carries what it says to the others.
        """
        plain = ops.cast(pixels if len(pixels.shape) == 4 else pixels[:, 0], "float32")
        logits = [weight * self._answer(network, plain, shape) for network, shape, weight in self._members]
        return ops.stop_gradient(sum(logits[1:], logits[0]) / len(logits))

    @staticmethod
    def _answer(network, pixels, shape):
        # A network knows cells at the size that it was trained for; the student may be at a smaller one.
        side = tuple(shape[:2])
        if None not in side and tuple(pixels.shape[1:3]) != side:
            pixels = ops.image.resize(pixels, side, interpolation="bilinear")
        inference_mode = {"training": False} if isinstance(network, keras.Model) else {}
        return ops.cast(network(pixels, **inference_mode), "float32")
