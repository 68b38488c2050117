"""Public results of AN2DL homework 1, 2024/25 (Codabench competition 4430), as their teams reported them.

None of these was measured here. `REPORTED` are rows of the two hidden test sets; `PAIRS` are a local accuracy on
perturbed images beside the server's score of the same model, the material of the forecast. Sources are GitHub
repositories; where a report gives a range, the middle is taken and said so in the note.
"""

from dataclasses import dataclass

COMPETITION = "blood-cells"
"""What these results are of, as submission/contract.py names it: for another competition they say nothing."""


@dataclass(frozen=True)
class Reported:
    """One public score."""

    team: str
    repository: str
    model: str
    score: float
    """Share 0..1 as reported, with the reported number of digits."""
    phase: str
    """"dev", "final", or "" where the source does not say which test set."""
    note: str = ""
    report: bool = False
    """One of the three rows of the report that this kit started from."""


@dataclass(frozen=True)
class Pair:
    """A local accuracy on perturbed images and the server's score of the same model."""

    repository: str
    model: str
    perturbed: float
    """Accuracy on the team's own perturbed images."""
    server: float
    recipe: str
    """How the local images were perturbed."""
    clean: float | None = None
    """Accuracy on clean images, where reported."""
    note: str = ""


SEED = "faccioliandrea/AN2DL-Challenges-24-25"
WINNER = "Luca-Olivieri/blood_cells_classifier"
PONTIG = "pontig/AN2DL_challenges"
TRAMA = "RosNaviGator/ANN-blood-cells"
MARTINI = "martinimarcello00/AN2DL24-projects"
ALPACA = "Lp1807/AN2DL-Projects"
PACAPA = "zFireFist01/ANN-DL_2024_PoliMi"
AXON = "alessandrom10/HemoClassifier"

REPORTED = (
    Reported("AwesomeChallengers", SEED, "ConvNeXt Large, RandAugment on minorities", 0.77, "dev", report=True),
    Reported("AwesomeChallengers", SEED, "MobileNetV3 Large", 0.65, "dev", report=True),
    Reported("AwesomeChallengers", SEED, "custom CNN", 0.354, "dev", report=True),
    Reported("Harry Plotter", WINNER, "ConvNeXt XLarge, chain of 15 random layers", 0.9687, "final", "1st of 192"),
    Reported("Harry Plotter", WINNER, "ConvNeXt XLarge, chain of 15 random layers", 0.97, "dev"),
    Reported("Harry Plotter", WINNER, "ConvNeXt XLarge, no augmentation", 0.68, "dev"),
    Reported("ANNamo bene", PONTIG, "EfficientNetV2 S + M + L", 0.9605, "final", "silver"),
    Reported("ANNamo bene", PONTIG, "EfficientNetV2 M", 0.95, "final"),
    Reported("ANNamo bene", PONTIG, "EfficientNetV2 M", 0.90, "dev"),
    Reported("ANNamo bene", PONTIG, "EfficientNetV2 L", 0.94, "final"),
    Reported("ANNamo bene", PONTIG, "EfficientNetV2 S", 0.94, "final"),
    Reported("ANNamo bene", PONTIG, "EfficientNetV2 S", 0.92, "dev"),
    Reported("ANNamo bene", PONTIG, "custom CNN", 0.16, "dev"),
    Reported("YNWA", TRAMA, "EfficientNetB2 (8.7 M parameters)", 0.94, "final"),
    Reported("YNWA", TRAMA, "EfficientNetB2 (8.7 M parameters)", 0.90, "dev"),
    Reported("OverfittingExorcists", MARTINI, "2 x EfficientNetV2 S, 8 views", 0.93, "dev"),
    Reported("Alpaca", ALPACA, "2 x EfficientNetV2 S", 0.93, "dev"),
    Reported("Alpaca", ALPACA, "2 x EfficientNetV2 S", 0.92, "final"),
    Reported("RedCellClassifier", "RiccardoFiorentini", "DenseNet121, test-time augmentation", 0.92, ""),
    Reported("Artificial Neural Nuggets", "SigCatta/AN2DL", "EfficientNetV2 S", 0.9017, ""),
    Reported("AI-pacapa", PACAPA, "ConvNeXt XLarge", 0.90, "final"),
    Reported("AXON Biotech", AXON, "ConvNeXt Large with squeeze and excitation", 0.87, ""),
    Reported("aaa000", "KamilHanna/AN2DL_Challenges", "ConvNeXt Base", 0.86, ""),
    Reported("acque del friuli", "Chri060", "EfficientNetV2 L", 0.86, ""),
    Reported("Gan's n Roses", "DenSandu/Blood-Cell-Classification", "ConvNeXt Large", 0.83, ""),
    Reported("FeedForward Force", "IronDog421", "EfficientNetV2 S", 0.77, ""),
    Reported("NoPainNoTrain", "fede-mat/ANN-DL", "ConvNeXt Small + EfficientNetV2 S + B3", 0.76, ""),
)

RANDAUGMENT = "keras_cv RandAugment(3, 0.4) on clean test cells"
HEAVY = "the team's own heavy keras_cv pipeline"
OWN = "the team's own training pipeline on test cells"

PAIRS = (
    Pair(AXON, "ResNet-50", 0.717, 0.58, RANDAUGMENT),
    Pair(AXON, "ConvNeXt Base", 0.807, 0.80, RANDAUGMENT),
    Pair(AXON, "ConvNeXt Large", 0.901, 0.87, RANDAUGMENT, clean=0.971),
    Pair(PACAPA, "EfficientNetV2 B3", 0.81, 0.865, HEAVY, note="server 0.86 to 0.87"),
    Pair(PACAPA, "ConvNeXt XLarge", 0.86, 0.895, HEAVY, clean=0.97, note="server 0.89 to 0.90"),
    Pair(ALPACA, "first model", 0.600, 0.62, OWN),
    Pair(ALPACA, "second model", 0.845, 0.83, OWN),
    Pair(ALPACA, "third model", 0.964, 0.915, OWN, note="server 0.92 and 0.91"),
    Pair(ALPACA, "fourth model", 0.956, 0.91, OWN),
    Pair(ALPACA, "EfficientNetV2 M", 0.978, 0.89, OWN),
    Pair(WINNER, "ConvNeXt XLarge", 0.945, 0.97, OWN, note="local 0.94 to 0.95"),
)

CLEAN = (
    (0.9824, 0.77),
    (0.9972, 0.97),
    (0.97, 0.68),
    (0.9908, 0.9605),
    (0.986, 0.94),
    (0.9904, 0.93),
    (0.97, 0.90),
    (0.9888, 0.9017),
    (0.971, 0.87),
    (0.979, 0.86),
    (0.986, 0.86),
    (0.983, 0.47),
)
"""(accuracy on clean images, server's score) of the same public models.

What a forecast from clean images would have to live on.
"""
