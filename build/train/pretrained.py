"""Weights that a network begins with: ImageNet's, as published, or a file of the user's.

    load(network, spec, "imagenet")                 # downloads once, checks the hash, keeps the file in Keras' cache
    load(network, spec, "drawn")                    # learned from drawn images (build/pretrain), part of this repository
    load(network, spec, "convnext_tiny.h5")         # keras.applications' files, with or without top: .h5 or .weights.h5
    load(network, spec, "runs/latest/weights.npz")  # one of ours

The head (the last layer) is left as it was drawn wherever its number of classes is another. Keras' own loader reads the
h5 files, into the network of keras.applications that they were saved from; its arrays are then copied layer by layer. So
every generation of the format is understood, at the price of holding the network twice for a moment.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np

from build.errors import UserError
from build.files import sha256
from build.pretrain import shipped
from build.train import application_weights, efficientnet_lite_weights
from build.train.application_weights import Donor
from submission import weights as files
from submission.convnext import SIZES
from submission.network import variables

IMAGENET = "imagenet"
DRAWN = "drawn"
HEAD = "logits/"
INSTEAD = "give a file with --weights PATH, or train from scratch with --weights none"
KERAS_SUFFIXES = (".h5", ".hdf5")
OPTIMIZER_GROUPS = ("optimizer", "optimizer_weights")

# What keras.applications publishes: URL and hash (SHA-256, or MD5 of 32 digits where nothing else is published). ConvNeXt
# with its top: then its last norm is the one that was trained before the classes, whatever a file without top holds.
PUBLISHED = {
    ("convnext", size): (f"{application_weights.STORE}/convnext/convnext_{size}.h5", digest)
    for size, digest in (
        ("tiny", "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff"),
        ("small", "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c"),
        ("base", "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6"),
        ("large", "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6"),
        ("xlarge", "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee"),
    )
} | application_weights.PUBLISHED


def load(network: keras.Model, spec: dict, weights: str | Path) -> list[str]:
    """Set the weights of `network`; return the names (of `variables`) that kept their values: the head's, or none.

    Args:
        network: built from `spec` by submission.network.build, at any image shape.
        spec: complete.
        weights: "imagenet", "drawn", or the path of a file.

    Raises UserError, with nothing set, if nothing is published for this network, the download fails, or the file is missing,
    damaged or of another network.

    """
    name, size = spec["network"], spec.get("size")
    path = file_of(weights, name, size)
    if str(weights) == DRAWN and path is None:
        make = f"make some with nox -s pretrain -- --size {size} and name their file with --weights, or "
        raise UserError(
            f"There are no weights from drawn images for {name} {size or ''}, only for convnext {', '.join(shipped.sizes())}; "
            f"{make if name == 'convnext' else ''}train from scratch with --weights none."
        )
    if path and not path.is_file():
        raise UserError(
            f"There is no weights file {path}; {INSTEAD}, or take the published ones with --weights imagenet."
        )
    if spec.get("stem_patch", 4) != 4 and not (path and path.suffix == ".npz"):
        raise UserError(
            f"Published ConvNeXt weights are for stem_patch 4, the recipe has {spec['stem_patch']}; "
            "set it to 4, or train from scratch with --weights none."
        )
    if spec.get("width", 1) != 1 and not (path and path.suffix == ".npz"):
        raise UserError(
            f"Published weights of {name} are for width 1, the recipe has {spec['width']}; "
            "set it to 1, or train from scratch with --weights none."
        )
    if path and path.suffix == ".npz":
        return _assign(network, _own(path, spec), f"The weights file {path}")
    if name == "efficientnet-lite":
        source = f"The weights file {path}" if path else "The published file of EfficientNet-Lite's weights"
        return _assign(network, efficientnet_lite_weights.read(size, path), source)
    if path and path.suffix not in KERAS_SUFFIXES:
        raise UserError(
            f"Expected weights in a file of ours (.npz) or of keras.applications (.h5), got {path}; {INSTEAD}."
        )
    if not is_published(name, size):
        what = f"{name} {size}" if size else name
        raise UserError(
            f"Nobody publishes weights of {what} for Keras; {INSTEAD}, or choose a published size (tiny and up)."
        )
    if path is None:
        path = download(name, size)
    return _assign(network, _read(network, spec, path), f"The weights file {path}")


def file_of(weights: str | Path, network: str, size: str | None) -> Path | None:
    """The file that `weights` names: the user's, or the one that ships; None for "imagenet" and where none was made."""
    if str(weights) == DRAWN:
        return shipped.find(size) if network == "convnext" else None
    return None if str(weights) == IMAGENET else Path(weights)


def hash_of(weights: str | Path, network: str, size: str | None) -> str | None:
    """SHA-256 of that file; None where there is none: published weights have a hash of their own (PUBLISHED)."""
    path = file_of(weights, network, size)
    return sha256(path) if path and path.is_file() else None


def is_published(network: str, size: str | None) -> bool:
    """Whether keras.applications has ImageNet weights of this network."""
    return _key(network, size) in PUBLISHED


def is_published_file(path: Path) -> bool:
    """Whether the file is one of PUBLISHED, wherever it lies."""
    with path.open("rb") as file:
        digests = sha256(path), hashlib.file_digest(file, "md5").hexdigest()
    return any(digest in digests for _, digest in PUBLISHED.values())


def _key(network: str, size: str | None) -> tuple[str, str | None]:
    """Of PUBLISHED: only ConvNeXt is published in sizes; a decision has a size for every network."""
    return network, size if network == "convnext" else None


def fetch(network: str, size: str, weights: str) -> None:
    """Have published weights here, downloaded if need be; UserError where they cannot be had."""
    if weights == IMAGENET and network == "efficientnet-lite":
        efficientnet_lite_weights.read(size)
    elif weights == IMAGENET and is_published(network, size):
        download(network, size)


def download(network: str, size: str | None) -> Path:
    """The published file in Keras' cache (~/.keras/models, or under KERAS_HOME), fetched if need be, its hash checked.

    keras.applications keeps its files there by the same names, so neither fetches what the other has. Raises UserError.
    """
    url, digest = PUBLISHED[_key(network, size)]
    try:
        return Path(keras.utils.get_file(url.rsplit("/", 1)[1], url, cache_subdir="models", file_hash=digest))
    except Exception as error:  # get_file raises bare Exceptions, for want of a connection too
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"The ImageNet weights {url} could not be downloaded ({reason}); {INSTEAD}, or take --recipe podium, whose weights come with "
            "this repository."
        ) from error


def _assign(network: keras.Model, arrays: dict[str, np.ndarray], source: str) -> list[str]:
    """Set every variable but a head of other classes; UserError, with nothing set, if a name or a shape differs."""
    targets = variables(network)
    kept = [
        name for name in targets if name.startswith(HEAD) and _shape(arrays.get(name)) != tuple(targets[name].shape)
    ]
    for name, variable in targets.items():
        if name not in kept and _shape(arrays.get(name)) != tuple(variable.shape):
            found = f"has shape {arrays[name].shape}" if name in arrays else "is missing"
            raise UserError(
                f"{source} is of another network: {name} {found}, expected {tuple(variable.shape)}; {INSTEAD}."
            )
    if foreign := sorted(name for name in arrays.keys() - targets.keys() if not name.startswith(HEAD)):
        raise UserError(f"{source} is of another network: it has {foreign[0]} too; {INSTEAD}.")
    for name, variable in targets.items():
        if name not in kept:
            variable.assign(arrays[name])
    return kept


def _shape(array: np.ndarray | None) -> tuple[int, ...] | None:
    return None if array is None else array.shape


def _own(path: Path, spec: dict) -> dict[str, np.ndarray]:
    """The arrays of one of our files, of the same network and size."""
    try:
        arrays, meta = files.load(path)
    except files.WeightsError as error:
        raise UserError(str(error)) from error
    theirs = meta.get("spec", {})
    for setting in ("network", "size"):
        if theirs.get(setting) != spec.get(setting):
            raise UserError(
                f"The weights file {path} holds {setting} {theirs.get(setting)!r}, the recipe asks for "
                f"{spec.get(setting)!r}; choose that in the recipe, or {INSTEAD}."
            )
    return arrays


def _read(network: keras.Model, spec: dict, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of keras.applications, by our names and in our layout."""
    donor = DONORS[spec["network"]]
    try:
        held = _shapes_in(path)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            f"The weights file {path} is damaged or no HDF5 file ({error}); fetch it again, or {INSTEAD}."
        ) from error
    body = Counter(
        _keras_shape(name, tuple(variable.shape))
        for name, variable in variables(network).items()
        if not name.startswith(HEAD)
    )
    body += Counter(donor.entry)
    top = held - body
    # The number of classes is the length of the top's last bias.
    classes = next(
        (classes for shape in top for classes in shape[-1:] if top == Counter(donor.top(spec.get("size"), classes))), 0
    )
    if body - held or (top and not classes):
        what = f"{spec['network']} {spec.get('size', '')}".strip()
        raise UserError(
            f"The weights file {path} ({sum(map(math.prod, held.elements())):,} numbers in {held.total()} arrays) does not hold "
            f"the {what} of keras.applications ({sum(map(math.prod, body.elements())):,} numbers in {body.total()} arrays "
            f"below its top); {INSTEAD}."
        )
    end = {"include_top": True, "classes": classes} if classes else {"include_top": False, "pooling": "avg"}
    source = donor.constructor(spec.get("size"))(input_shape=(224, 224, 3), weights=None, **end)
    try:
        source.load_weights(path)
    # Keras reports what does not fit in many ways; the shapes above do fit, so this is a file in another order.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"Keras cannot load the weights file {path} ({reason}); {INSTEAD}.") from error
    return donor.arrays(source, spec.get("size"))


def _shapes_in(path: Path) -> Counter:
    """Shapes of the network's arrays in an HDF5 file of Keras, whatever their names; the optimizer's are left out."""
    shapes: Counter = Counter()

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name.split("/")[0] not in OPTIMIZER_GROUPS:
            shapes[item.shape] += 1

    with h5py.File(path) as file:
        file.visititems(visit)
    return shapes


def _keras_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that keras.applications gives one of our arrays: grouped kernels are (h, w, 1, channels)."""
    grouped = name.startswith("stage_") and name.endswith("_depthwise/kernel")
    return (*shape[:2], 1, shape[2]) if grouped else shape


# --- ConvNeXt ---------------------------------------------------------------------------------------------------------


def _convnext(size: str) -> Callable[..., keras.Model]:
    return getattr(keras.applications, f"ConvNeXt{'XLarge' if size == 'xlarge' else size.title()}")


def convnext_arrays(source: keras.Model, size: str) -> dict[str, np.ndarray]:
    """The weights of the ConvNeXt of keras.applications named convnext_SIZE, by the names and in the layout of ours."""
    prefix = f"convnext_{size}"
    # The stem and the downsamplings are networks within the network.
    found = {layer.name: layer for outer in source.layers for layer in (outer, *getattr(outer, "layers", ()))}
    arrays: dict[str, np.ndarray] = {}

    def take(ours: str, theirs: str, names: tuple[str, ...]) -> None:
        values = found[theirs].get_weights()
        arrays.update({f"{ours}/{name}": value for name, value in zip(names, values, strict=True)})

    affine, norm = ("kernel", "bias"), ("gamma", "beta")
    take("stem_conv", f"{prefix}_stem_conv", affine)
    take("stem_norm", f"{prefix}_stem_layernorm", norm)
    for stage, depth in enumerate(SIZES[size][0]):
        if stage:
            take(f"downsample_{stage}_norm", f"{prefix}_downsampling_layernorm_{stage - 1}", norm)
            take(f"downsample_{stage}_conv", f"{prefix}_downsampling_conv_{stage - 1}", affine)
        for block in range(depth):
            ours, theirs = f"stage_{stage}_block_{block}", f"{prefix}_stage_{stage}_block_{block}"
            take(f"{ours}_depthwise", f"{theirs}_depthwise_conv", affine)
            kernel = f"{ours}_depthwise/kernel"
            arrays[kernel] = arrays[kernel].transpose(0, 1, 3, 2)
            take(f"{ours}_norm", f"{theirs}_layernorm", norm)
            take(f"{ours}_expand", f"{theirs}_pointwise_conv_1", affine)
            take(f"{ours}_project", f"{theirs}_pointwise_conv_2", affine)
            take(f"{ours}_scale", f"{theirs}_layer_scale", ("gamma",))
    if f"{prefix}_head_dense" in found:
        take("head_norm", f"{prefix}_head_layernorm", norm)
        take("logits", f"{prefix}_head_dense", affine)
    else:
        # Without top the last norm has a name that Keras counts up.
        take("head_norm", source.layers[-1].name, norm)
    return arrays


def _convnext_top(size: str, classes: int) -> list[tuple[int, ...]]:
    return [(SIZES[size][1][-1], classes), (classes,)]


DONORS = {"convnext": Donor(_convnext, convnext_arrays, _convnext_top)} | application_weights.DONORS
