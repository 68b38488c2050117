"""A recipe: everything that a training run decides, as one flat frozen dataclass; variants by dataclasses.replace.

The named ones stand in build/recipes.py. A recipe is written into its run folder as used. Reading one imports no framework.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import get_args

from submission.contract import IMAGE_SHAPE

IMAGE_SIDE = max(IMAGE_SHAPE[:2])
"""The larger side of an image in pixels."""
DEFECTS = ("blackened", "unstratified")
"""Errors of a published system that a study reproduces on purpose, see Recipe.defects."""


@dataclass(frozen=True)
class Recipe:
    """All settings of a run. Shares and probabilities are 0..1, sizes are in pixels, angles in degrees, times in minutes."""

    name: str
    ensemble: tuple[str, ...] = ()
    """Recipes that are trained one after another and packaged together (build/train/ensemble.py); empty: this is one network."""
    # --- data -------------------------------------------------------------------------------------------------------
    validation_share: float = 0.1
    test_share: float = 0.1
    """Shares of each class that choose the epoch and that judge the zip; the rest is trained on."""
    folds: int = 0
    fold: int = 0
    """Cross-validation: the test side is fold `fold` (0..folds - 1) of `folds`, whatever test_share says; 0 folds: one split by shares."""
    # --- balancing: "none", "weights" (class weights), "augment" (AugMix copies of minority classes), "both" ----------
    balance: str = "augment"
    balance_share: float = 0.8
    """Copies bring every class to at least this share of the largest class."""
    balance_counts: tuple[int, ...] = ()
    """Images of each class seen in an epoch; empty: by balance_share. A class is never cut below its own images."""
    copies_severity: float = 1.0
    copies_alpha: float = 10.0
    copies_width: int = 2
    """AugMix of the balancing copies: the report's setting is a small severity, a high alpha and few chains."""
    copies_augmix: str = "copies"
    """Which images that AugMix changes: the "copies", as in the report (its trace then tells a class that has copies from one that has
    none, and networks learn it), or as many of "any" class."""
    defects: tuple[str, ...] = ()
    """Known errors to be made on purpose, to measure what they cost: "blackened" clips the copies' pixels (0..255) to 0..1, "unstratified"
    splits without regard to the classes. Both are the report's (its notebook, cells 17 to 20)."""
    # --- augmentation of every image, drawn anew in every epoch -----------------------------------------------------
    augmenter: str = "podium"
    """"podium" (ours), "keras_cv" (baseline) or "none"."""
    flip: bool = True
    """Mirrored left to right and top to bottom, each for every second image."""
    geometry_probability: float = 0.8
    """Below 1: warps interpolate, and a network that never saw a sharp image loses points on clean ones."""
    rotation: float = 180.0
    zoom: float = 0.25
    translation: float = 0.2
    shear: float = 15.0
    """Largest, either way: turn and shear in degrees, zoom (0.25: a factor from 1 / 1.25 to 1.25), shift as a share of the side."""
    border: str = "any"
    """What warps leave outside: "constant" (black, whitish or any colour), "reflect", "replicate", "wrap", or "any" of them an image."""
    surroundings_probability: float = 0.0
    """The object among another image's surroundings."""
    surroundings_zoom: float = 0.5
    """Largest shrinking there (0.5: by a factor of up to 1.5), which `zoom` comes on top of."""
    augmix_probability: float = 0.5
    augmix_severity: float = 3.0
    augmix_alpha: float = 1.0
    augmix_width: int = 3
    augmix_depth: int = 0
    """0 draws 1..3 operations a chain, as in the paper; n > 0 fixes the depth."""
    jsd_weight: float = 0.0
    """Weight of the Jensen-Shannon consistency loss (AugMix paper: 12); 0 leaves it out. > 0 costs three forward passes, and both of its
    views go through AugMix, whatever augmix_probability says."""
    randaugment_probability: float = 0.5
    randaugment_operations: int = 3
    randaugment_magnitude: float = 0.4
    """Operations in a row, and their strength on keras_cv's scale 0..1."""
    randaugment_spread: float = 0.15
    """Standard deviation of an operation's magnitude about the recipe's, as in keras_cv."""
    randaugment_pool: tuple[str, ...] = ()
    """Operations to draw from (names of build/augment/randaugment.py's POOL); empty: both papers' lists."""
    stain_probability: float = 0.0
    stain: float = 0.3
    """Largest change of the amount of each of three stains, as a share of it."""
    grey_probability: float = 0.0
    """One channel in place of all three; a channel shift then gives it a tint."""
    channel_shuffle_probability: float = 0.1
    channel_shift_probability: float = 0.2
    channel_shift: float = 0.2
    """Largest shift of a channel as a share of the pixel range."""
    random_convolution_probability: float = 0.0
    """An image mixed with what a kernel of random weights makes of it: other colours and texture, the same shape."""
    texture_probability: float = 0.0
    """What a filter does to the grain: a median, dark or bright parts that grow, sharpening, relief, missing pixels."""
    texture_strength: float = 0.8
    """Strongest texture drawn, 0..1."""
    veil_probability: float = 0.0
    """Something that lies over the object and lets some of it through: spots, haze, shadow."""
    veil_opacity: float = 0.8
    """Of the densest veil drawn, 0..1."""
    degrade_probability: float = 0.3
    """One of blur, noise, JPEG, pixelation."""
    degrade_strength: float = 0.5
    """Strongest degradation drawn, 0..1."""
    cutout_probability: float = 0.2
    cutout_size: float = 0.4
    """Largest side of the hole as a share of the image's side."""
    grid_probability: float = 0.0
    """GridMask: a grid of square holes."""
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mix_probability: float = 0.5
    """MixUp and CutMix: an image is mixed with another of its batch by this probability, in shares of Beta(alpha, alpha); alpha 0: not."""
    curriculum: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    """Strength over time: (factor 0..1 on every probability above, share of the epochs), in order; the shares add up to 1."""
    # --- network ----------------------------------------------------------------------------------------------------
    network: str = "convnext"
    """"convnext", "efficientnet-lite", "custom-cnn", or of keras.applications: "resnet50", "xception", "inception-v3",
    "efficientnet-b0", "efficientnet-b4", "mobilenet-v3-large"."""
    size: str = "auto"
    """A ConvNeXt size (atto ... xlarge), an EfficientNet-Lite size (lite0 ... lite2), or "auto": by hardware (printed)."""
    weights: str = "auto"
    """"none", "imagenet", "drawn" (build/pretrain), a path, or "auto": on a GPU imagenet where keras.applications has them, else drawn
    if there are any (printed)."""
    stem_patch: int = 4
    """ConvNeXt's first stride in pixels: 4, or 2 for four times the work."""
    upsample: float = 1.0
    """ConvNeXt, EfficientNet-Lite: factor by which images are enlarged first: ImageNet's weights were learned at 224 to 260 pixels."""
    layer_scale: float = 1e-6
    """ConvNeXt's first value of each residual branch's factor."""
    crop: float = 1.0
    edge_blur: float = 0.0
    edge_radius: float = 0.8
    """Framing, part of the network: share of each side kept from the middle; sigma in pixels of a blur outside a disc of that radius
    (a share of half the side). 1 and 0 switch them off."""
    width: float = 1.0
    """Networks of keras.applications: factor on the filters of every layer; 1 is the published network, the only one with weights."""
    depth: int = 3
    filters: int = 32
    """Custom CNN: its blocks, and the filters of the first one (doubled from block to block)."""
    kernel: int = 3
    padding: str = "same"
    pooling: str = "average"
    """Custom CNN: side of its kernels in pixels; "same" or "valid"; "average" (over the image) or "flatten" before the last layer."""
    stochastic_depth: float = 0.1
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    """Rates of dropped branches (ConvNeXt, EfficientNets) and of dropout before the last layer; penalties on the kernels."""
    # --- training ---------------------------------------------------------------------------------------------------
    epochs: int = 40
    """The largest number; a time budget and early stopping make it smaller."""
    minutes: float = 0.0
    """Time budget of the training: > 0 shortens the schedule so that it ends in time on this machine; 0 means none."""
    batch: int = 64
    resolutions: tuple[tuple[int, float], ...] = ((IMAGE_SIDE, 1.0),)
    """Progressive resolution: (side, share of the epochs), in order; the shares add up to 1."""
    optimizer: str = "adamw"
    """"adamw" or "lion"."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    """The learning rate rises for so many epochs (at most a fifth; not while the head alone learns), then falls to 0 by half a cosine."""
    label_smoothing: float = 0.1
    ema_momentum: float = 0.998
    """0 switches the moving average of the weights off. At step t it is at most (1 + t) / (10 + t): m takes 9 / (1 - m) steps."""
    teachers: tuple[str, ...] = ()
    """Distillation: runs (ID or folder) or weights files whose mean answer the network learns beside the labels."""
    teacher_weight: float = 0.7
    """Share of the teachers' answers in the loss, 0..1; the labels have the rest."""
    teacher_temperature: float = 2.0
    """By which both logits are divided (Hinton et al. 2015, section 2): higher shows more of the small probabilities."""
    member: int = 0
    """Another number draws other first weights, orders and augmentations on the same split: for ensembles and soups."""
    patience: int = 15
    """Early stopping: epochs without a better one (build/standing.py `surpasses`); 0 switches it off."""
    head_epochs: int = 5
    head_learning_rate: float = 1e-3
    """First phase with pretrained weights: only the head learns."""
    fine_tune_layers: int = 0
    """Second phase: the last n layers learn; 0 means all."""
    deterministic: bool = False
    """TensorFlow's deterministic kernels: needed on a GPU only for the same bits twice (a CPU gives them anyway)."""
    precision: str = "auto"
    """"auto" (on a GPU mixed_bfloat16, or what its generation is fast with; on a CPU float32, or bfloat16_products where it has units
    for them), "float32", "bfloat16_products" (ConvNeXt, EfficientNet-Lite), "mixed_bfloat16" or "mixed_float16"."""
    xla: str = "auto"
    """"auto" (under JAX, and on one GPU: on a CPU TensorFlow's makes depthwise convolutions 7x slower), "on", "off"."""
    # --- package and gates ------------------------------------------------------------------------------------------
    storage: str = "float16"
    """How arrays are stored in the zip: "float32", "float16" or "int8" (a scale for each output channel)."""
    size_limit_mb: float = 0.0
    """> 0: packaging takes the most accurate way to store the weights whose zip is at most so large (build/compress); 0: `storage`."""
    accuracy_budget: float = 0.5
    """Points of accuracy that compressing may cost on each suite."""
    views: int = 1
    """Test-time views whose logits are averaged: 1, 2 (flip), 4 (flips), 8 (flips and quarter turns), 16 (those at two scales), or 0:
    up to 8, as many as take a quarter of the time limit for the hidden images, by the speed measured here (printed)."""
    hidden_images: int = 5000
    """Images that the hidden set may hold; nobody has published how many. For forecasts of time and the number of views."""
    time_limit: float = 600.0
    """Seconds that the phase gives a job."""
    minimum_held_out: float = 0.9
    minimum_perturbed: float = 0.5
    maximum_zip_mb: float = 500.0
    maximum_seconds_per_1000: float = 60.0
    """What a zip needs to be named submission.zip: accuracy on held-out cells and on the suite basic, size, time for 1,000 images."""

    def to_json(self) -> str:
        """The recipe as indented JSON, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The inverse of `to_json`; fields that this version does not know, and values of another kind, raise TypeError."""
        recipe = cls(**{name: _frozen(value) for name, value in json.loads(text).items()})
        for field in dataclasses.fields(cls):
            if not _is_a(getattr(recipe, field.name), field.type):
                raise TypeError(f"{field.name} is {getattr(recipe, field.name)!r}")
        return recipe


def _frozen(value: object) -> object:
    """JSON's lists as the tuples that they were."""
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


def _is_a(value: object, kind: type) -> bool:
    """Whether a value read from JSON is of a field's kind: people edit these files, and "4" for 4 would fail after the judge's minutes."""
    if parts := get_args(kind):
        many = parts[-1] is ...
        kinds = parts[:1] * len(value) if many and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is_a, value, kinds))
    return type(value) is kind or (kind is float and type(value) is int)
