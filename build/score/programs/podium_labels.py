"""What Model.predict may return, and the sentence that says what is wrong with anything else. Shared by the three programs."""

import numpy as np


def breach(returned, count, classes):
    """None where `returned` holds one label 0..classes-1 for each of `count` images, else (kind, sentence, remedy)."""
    if returned is None:
        return "nothing", "Model.predict returned None.", "Return a numpy array with one label an image."
    try:
        labels = np.asarray(returned)
    except Exception as error:  # the object is the submission's: anything may happen in its conversion
        return (
            "type",
            f"Model.predict returned a {type(returned).__name__} that is no array ({error}).",
            "Return a numpy array.",
        )
    shape = tuple(labels.shape)
    if labels.dtype.kind not in "uifb":
        name = type(returned).__name__ if labels.dtype == object else f"labels of dtype {labels.dtype}"
        return "dtype", f"Model.predict returned {name}, not integers.", "Return a numpy array of integer labels."
    if shape == (count, classes) and labels.ndim == 2:
        what = "one-hot rows or scores"
        return (
            "one-hot",
            f"Model.predict returned shape {shape}: {what}, not labels.",
            "End predict with np.argmax(scores, axis=1).",
        )
    if labels.ndim == 2 and shape == (count, 1):
        return "column", f"Model.predict returned shape {shape}, a column.", "End predict with .reshape(-1)."
    if labels.ndim != 1:
        return (
            "shape",
            f"Model.predict returned shape {shape} for {count} images.",
            f"Return an array of shape ({count},).",
        )
    if shape != (count,):
        return (
            "length",
            f"Model.predict returned {shape[0]} labels for {count} images.",
            "Return one label for each image, in order.",
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        bad = int((~np.isfinite(labels)).sum())
        return (
            "nan",
            f"Model.predict returned NaN or infinity for {bad} of {count} images.",
            "Find the layer that yields NaN.",
        )
    if labels.dtype.kind in "fb":
        return (
            "float",
            f"Model.predict returned {labels.dtype} labels, not integers.",
            "End predict with .astype(np.int64).",
        )
    if count and (labels.min() < 0 or labels.max() >= classes):
        low, high = int(labels.min()), int(labels.max())
        sentence = f"Model.predict returned labels {low}..{high}; they must lie in 0..{classes - 1}."
        shifted = low >= 1 and high == classes
        return (
            "range",
            sentence,
            "Labels start at 0: subtract 1." if shifted else "Map the classes to the contract's numbers.",
        )
    return None
