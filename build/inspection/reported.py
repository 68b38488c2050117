"""What a team's report says of the competition's training set, to be shown beside what is found here.

Source: the report on the AN2DL blood cell challenge, section 2.1 and table 1.
"""

from submission import contract

SAMPLES = 13_759
DUPLICATES = 1_806
OUTLIERS = 2
DIFFERENT = 11_951
SPLIT = (9_559, 1_196, 1_196)
SIMILAR = 116
"""Pairs at a cosine of 0.95 and above, by features of EfficientNetB0."""
TRAINING = {
    "basophil": 680,
    "eosinophil": 1743,
    "erythroblast": 867,
    "immature granulocytes": 1618,
    "lymphocyte": 679,
    "monocyte": 794,
    "neutrophil": 1864,
    "platelet": 1314,
}


def applies(count: int) -> bool:
    """Whether a data set of `count` rows, under this contract, can be the one that the report is about."""
    return count == SAMPLES and [name.casefold() for name in contract.CLASSES] == list(TRAINING)
