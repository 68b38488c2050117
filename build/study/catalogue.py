"""The studies: what the report tried, as lists of (label, recipe).

study = find("models")
for row in study.rows: ...
"""

import dataclasses
from dataclasses import dataclass

from build.errors import UserError
from build.recipe import Recipe
from build.recipes import (
    PODIUM,
    PODIUM_LITE,
    REPORT_CONVNEXT,
    REPORT_CUSTOM_CNN,
    REPORT_EFFICIENTNET_B0,
    REPORT_EFFICIENTNET_B4,
    REPORT_INCEPTION_V3,
    REPORT_MOBILENET_V3,
    REPORT_RESNET,
    REPORT_XCEPTION,
)
from build.study import reported
from build.study.protocol import SCRATCH
from build.study.reported import Reported

replace = dataclasses.replace


@dataclass(frozen=True)
class Row:
    """One line of a study."""

    label: str
    recipe: Recipe
    reported: Reported | None = None
    least_epochs: int = 0
    """The row is left out of shorter trainings, which it could not change (a patience of 20 in 6 epochs)."""
    teachers: tuple[str, ...] = ()
    """Labels of earlier rows whose runs of the same seed teach this one."""


@dataclass(frozen=True)
class Study:
    """Rows that differ in one respect."""

    name: str
    title: str
    about: str
    """What is compared, and which sentence of the report it looks at."""
    rows: tuple[Row, ...]


NO_AUGMENTATION = {"augmenter": "none", "balance": "weights"}
SIMPLE = {
    # RandomFlip, RandomRotation, RandomZoom: the report's section 4.2.
    "augmenter": "podium",
    "balance": "weights",
    "geometry_probability": 1.0,
    "rotation": 45.0,
    "zoom": 0.2,
    "translation": 0.0,
    "shear": 0.0,
    "border": "reflect",
    "augmix_probability": 0.0,
    "randaugment_probability": 0.0,
    "channel_shuffle_probability": 0.0,
    "channel_shift_probability": 0.0,
    "degrade_probability": 0.0,
    "cutout_probability": 0.0,
}


EFFICIENTNET_LITE2 = replace(
    REPORT_CONVNEXT,
    name="report-efficientnet-lite2",
    network="efficientnet-lite",
    size="lite2",
    optimizer="adamw",
    learning_rate=PODIUM_LITE.learning_rate,
    weight_decay=PODIUM_LITE.weight_decay,
    warmup_epochs=PODIUM_LITE.warmup_epochs,
    head_learning_rate=PODIUM_LITE.head_learning_rate,
    head_epochs=1,
    fine_tune_layers=0,
)
"""The report's augmentation on the one network whose ImageNet weights need no download."""


def _models() -> Study:
    rows = (
        Row(
            "Custom CNN, no augmentation",
            replace(REPORT_CUSTOM_CNN, **NO_AUGMENTATION),
            reported.CUSTOM_CNN_PLAIN,
        ),
        Row("Custom CNN, zoom, rotation, flip", replace(REPORT_CUSTOM_CNN, **SIMPLE), reported.CUSTOM_CNN),
        Row("MobileNetV3Large", REPORT_MOBILENET_V3, reported.MOBILENET_V3),
        Row(
            "ConvNeXt, class weights, simple augmentation",
            replace(REPORT_CONVNEXT, **SIMPLE),
            reported.CONVNEXT_WEIGHTS,
        ),
        Row("ConvNeXt", REPORT_CONVNEXT, reported.CONVNEXT),
        Row("EfficientNet-Lite2, ImageNet weights", EFFICIENTNET_LITE2),
        Row("ResNet50", REPORT_RESNET),
        Row("Xception", REPORT_XCEPTION),
        Row("InceptionV3", REPORT_INCEPTION_V3),
        Row("EfficientNetB0", REPORT_EFFICIENTNET_B0),
        Row("EfficientNetB4", REPORT_EFFICIENTNET_B4),
    )
    about = (
        "The report's table 2, and the other networks of Keras Applications that it names. Local test: the clean test cells; "
        "Codabench: the hidden, perturbed images, for which the stacked suite stands in here."
    )
    return Study("models", "The report's models", about, rows)


def _balance() -> Study:
    labels = {
        "none": "no balancing",
        "weights": "class weights",
        "augment": "weighted AugMix",
        "both": "weighted AugMix and class weights",
    }
    rows = tuple(Row(label, replace(REPORT_CONVNEXT, balance=way)) for way, label in labels.items())
    about = "Section 4.1: class weights, AugMix copies of the minority classes, and both, on the report's ConvNeXt."
    return Study("balance", "Class balance", about, rows)


def _augmix() -> Study:
    rows = tuple(
        Row(
            f"severity {severity:g}, alpha {alpha:g}, {width} chains",
            replace(
                REPORT_CONVNEXT, balance="augment", copies_severity=severity, copies_alpha=alpha, copies_width=width
            ),
        )
        for severity in (1.0, 3.0, 6.0)
        for alpha, width in ((10.0, 2), (1.0, 2), (1.0, 4))
    )
    about = (
        "Section 4.1: the copies of minority classes by AugMix of three severities, mixed evenly (a high alpha) or not, of two or four "
        "chains. The report chose a small severity, a high alpha and few chains: the first row."
    )
    return Study("augmix", "AugMix of the copies", about, rows)


def _randaugment() -> Study:
    off = Row("none", replace(REPORT_MOBILENET_V3, randaugment_probability=0.0))
    rows = tuple(
        Row(
            f"{operations} operations, magnitude {magnitude:g}",
            replace(REPORT_MOBILENET_V3, randaugment_operations=operations, randaugment_magnitude=magnitude),
        )
        for operations in (2, 3, 5)
        for magnitude in (0.2, 0.4)
    )
    about = "Section 4.3: RandAugment of every image on the report's MobileNetV3; its figure 3 shows 5 operations of magnitude 0.2."
    return Study("randaugment", "RandAugment", about, (off, *rows))


def _regularisation() -> Study:
    base = replace(REPORT_CUSTOM_CNN, **SIMPLE, l1=0.0, l2=0.0, dropout=0.0, patience=0)
    rows = (
        Row("none", base),
        Row("dropout 0.3", replace(base, dropout=0.3)),
        Row("dropout 0.4", replace(base, dropout=0.4)),
        Row("L1 1e-5", replace(base, l1=1e-5)),
        Row("L2 1e-4", replace(base, l2=1e-4)),
        Row("early stopping, patience 10", replace(base, patience=10), least_epochs=15),
        Row("early stopping, patience 20", replace(base, patience=20), least_epochs=30),
        Row("dropout 0.3 and L2 1e-4", replace(base, dropout=0.3, l2=1e-4)),
        Row("flatten instead of global average pooling", replace(base, pooling="flatten")),
    )
    about = "Section 3.3: each regulariser by itself, on the custom CNN with simple augmentation."
    return Study("regularisation", "Regularisation", about, rows)


def _optimizer() -> Study:
    rows = (
        Row("Lion", REPORT_CONVNEXT),
        Row("AdamW", replace(REPORT_CONVNEXT, optimizer="adamw", learning_rate=5e-5, weight_decay=0.002)),
        Row("Adam", replace(REPORT_CONVNEXT, optimizer="adamw", learning_rate=5e-5, weight_decay=0.0)),
    )
    about = (
        "Section 4.4: Lion against AdamW and Adam (AdamW without weight decay), on the report's ConvNeXt. AdamW's learning rate is "
        "several times Lion's and its decay as much smaller, as in Lion's paper."
    )
    return Study("optimizer", "Optimizer", about, rows)


def _framing() -> Study:
    rows = (
        Row("whole image", REPORT_CONVNEXT),
        Row("centre crop 0.8", replace(REPORT_CONVNEXT, crop=0.8)),
        Row("centre crop 0.65", replace(REPORT_CONVNEXT, crop=0.65)),
        Row("edges blurred, radius 0.8", replace(REPORT_CONVNEXT, edge_blur=4.0, edge_radius=0.8)),
        Row("edges blurred, radius 0.6", replace(REPORT_CONVNEXT, edge_blur=4.0, edge_radius=0.6)),
    )
    about = (
        "Section 7, which the report left for later: cropping the centre, and a Gaussian blur of the edges outside a disc (4 pixels; its "
        "radius is a share of half the side). Both belong to the network, so training and the zip see the same."
    )
    return Study("framing", "Framing: centre crop and blurred edges", about, rows)


def _distillation() -> Study:
    student = replace(
        REPORT_CONVNEXT,
        name="report-convnext-atto",
        size="atto",
        weights="none",
        layer_scale=0.1,
        fine_tune_layers=0,
        head_epochs=0,
        **SCRATCH["lion"],
    )
    teacher = "teacher: EfficientNet-Lite2"
    rows = (
        Row(teacher, EFFICIENTNET_LITE2),
        Row("ConvNeXt atto, no teacher", student),
        Row("taught, weight 0.5", replace(student, teacher_weight=0.5), teachers=(teacher,)),
        Row("taught, weight 0.9", replace(student, teacher_weight=0.9), teachers=(teacher,)),
        Row(
            "taught, weight 0.9, temperature 4",
            replace(student, teacher_weight=0.9, teacher_temperature=4.0),
            teachers=(teacher,),
        ),
    )
    about = "A small ConvNeXt from scratch that learns from the answers of a larger network with ImageNet weights, beside the labels."
    return Study("distillation", "Distillation", about, rows)


def _ablation() -> Study:
    # A time budget would let a row's epochs depend on what else the machine does.
    base = replace(PODIUM, minutes=0.0, weights="drawn", views=1)
    without = {
        "pretraining": {"weights": "none", "head_epochs": 0, "learning_rate": 2e-3},
        "AugMix": {"augmix_probability": 0.0},
        "RandAugment": {"randaugment_probability": 0.0},
        "geometry": {"geometry_probability": 0.0, "flip": False},
        "other surroundings": {"surroundings_probability": 0.0},
        "channels": {"channel_shift_probability": 0.0, "channel_shuffle_probability": 0.0},
        "degradations": {"degrade_probability": 0.0},
        "stains": {"stain_probability": 0.0},
        "textures": {"texture_probability": 0.0},
        "veils": {"veil_probability": 0.0},
        "cutout": {"cutout_probability": 0.0},
        "balancing": {"balance": "none"},
        "label smoothing": {"label_smoothing": 0.0},
        "averaged weights": {"ema_momentum": 0.0},
    }
    rows = tuple(Row(f"without {what}", replace(base, **changes)) for what, changes in without.items())
    return Study(
        "ablation",
        "What the default is made of",
        "The default recipe, podium, with one part of it left out.",
        (Row("podium", base), *rows),
    )


def _defects() -> Study:
    # A balance of .7 makes as many copies as the report had: 18 % of the training images.
    base = replace(REPORT_CONVNEXT, balance_share=0.7)
    rows = (
        Row("as it should be", base),
        Row("copies blackened", replace(base, defects=("blackened",))),
        Row("split not stratified", replace(base, defects=("unstratified",))),
        Row("both", replace(base, defects=("blackened", "unstratified"))),
    )
    about = (
        "Two errors in the report's published notebook: pixels of 0..255 clipped to 0..1, which left 1,600 near-black copies among 8,769 "
        "training images, and a stratification by a constant."
    )
    return Study("defects", "What the report's two errors cost", about, rows)


STUDIES = {
    study.name: study
    for study in (
        _models(),
        _balance(),
        _augmix(),
        _randaugment(),
        _regularisation(),
        _optimizer(),
        _framing(),
        _distillation(),
        _ablation(),
        _defects(),
    )
}


def find(name: str) -> Study:
    """Return the study of that name; raise UserError with the known names if there is none."""
    if name not in STUDIES:
        raise UserError(f"There is no study named {name!r}; the studies are {', '.join(STUDIES)}, or all.")
    return STUDIES[name]
