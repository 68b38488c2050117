"""What the report says that its models reached, to stand beside what the same settings reach here.

Source: "AN2DL - First Homework Report", AwesomeChallengers (Agostino, Faccioli, Falcone), 10 January 2025. Its local test is a tenth of
the cells, clean; its Codabench accuracy is of the hidden, perturbed images of the development phase.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """One model's figures, shares 0..1; None where the report gives none."""

    source: str
    """Where in the report."""
    accuracy: float | None = None
    """On its local test; precision, recall and F1 there too, weighted by class."""
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    hidden: float | None = None
    """Accuracy on Codabench's hidden images."""
    note: str = ""


CUSTOM_CNN_PLAIN = Reported("section 4.2", accuracy=0.80, hidden=0.20, note="given as about 80 % and about 20 %")
CUSTOM_CNN = Reported(
    "table 2 and section 4.2", accuracy=0.81, hidden=0.354, note="with RandomZoom, RandomRotation and RandomFlip"
)
MOBILENET_V3 = Reported("table 2", accuracy=0.9766, precision=0.9768, recall=0.9766, f1=0.9765, hidden=0.65)
CONVNEXT_WEIGHTS = Reported("section 4.5", hidden=0.73, note="simple augmentation, class weights, no RandAugment")
CONVNEXT = Reported("table 2", accuracy=0.9824, precision=0.9826, recall=0.9824, f1=0.9825, hidden=0.77)
