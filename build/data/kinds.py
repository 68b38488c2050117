"""Kinds of synthetic cells: the numbers that `painting` draws from; `python -m build.data.synthetic OUT.png` shows it.

Lengths are pixels of a 96-pixel image, colours RGB as a Wright-Giemsa-like stain gives them; ranges are drawn
uniformly. They were set by eye beside real cells, and so that kinds overlap in size and colour and differ in form.
"""

from dataclasses import dataclass

Range = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Granules:
    """Dots of one colour: how many, their radius, whether they also lie over the nucleus."""

    count: tuple[int, int]
    radius: Range
    colour: Colour
    over: bool = False


@dataclass(frozen=True)
class Kind:
    """What one kind of cell looks like; ranges are drawn uniformly."""

    radius: Range
    rough: float
    """Irregularity of the outline as a share of the radius."""
    cytoplasm: Colour
    mottle: float
    """Standard deviation of the cytoplasm's texture in grey levels."""
    nucleus: str
    """Shape: disc, kidney, lobes, band, none."""
    share: Range = (0.6, 0.7)
    """Radius of the nucleus (of its circumscribed circle) as a share of the cell's."""
    lobes: tuple[int, int] = (2, 2)
    stain: Colour = (72, 44, 118)
    chromatin: float = 17.0
    granules: tuple[Granules, ...] = ()
    vacuoles: int = 0
    off_centre: float = 0.1
    """How far the nucleus lies from the middle, as a share of the room it has."""


PURPLE, DARK, ORANGE, VIOLET = (92, 38, 118), (60, 28, 92), (206, 112, 98), (150, 92, 160)
KINDS = {
    "basophil": Kind(
        radius=(24, 34), rough=0.03, cytoplasm=(196, 150, 190), mottle=8, nucleus="lobes", lobes=(1, 3),
        share=(0.68, 0.85), stain=(96, 52, 134), chromatin=12,
        granules=(Granules((200, 320), (0.8, 1.6), DARK, over=True),),
    ),
    "eosinophil": Kind(
        radius=(29, 37), rough=0.03, cytoplasm=(224, 164, 150), mottle=6, nucleus="lobes", lobes=(2, 3),
        share=(0.62, 0.76),
        granules=(Granules((150, 230), (1.2, 1.9), ORANGE), Granules((10, 40), (1.0, 1.6), (228, 176, 160))),
    ),
    "erythroblast": Kind(
        radius=(20, 30), rough=0.04, cytoplasm=(176, 158, 188), mottle=4, nucleus="disc", share=(0.5, 0.72),
        stain=(60, 34, 100), chromatin=24, off_centre=0.5,
    ),
    "immature granulocytes": Kind(
        radius=(29, 44), rough=0.05, cytoplasm=(186, 156, 200), mottle=7, nucleus="kidney", share=(0.64, 0.82),
        stain=(106, 54, 136), chromatin=17, off_centre=0.6,
        granules=(Granules((80, 220), (0.5, 0.95), PURPLE), Granules((10, 90), (0.5, 0.9), PURPLE, over=True)),
    ),
    "lymphocyte": Kind(
        radius=(19, 27), rough=0.03, cytoplasm=(150, 150, 206), mottle=5, nucleus="disc", share=(0.82, 0.95),
        stain=(72, 42, 120), chromatin=20, off_centre=0.5,
    ),
    "monocyte": Kind(
        radius=(32, 44), rough=0.09, cytoplasm=(170, 162, 198), mottle=7, nucleus="kidney", share=(0.55, 0.72),
        stain=(112, 66, 142), chromatin=16, vacuoles=10, off_centre=0.4,
        granules=(Granules((0, 40), (0.5, 0.8), VIOLET),),
    ),
    "neutrophil": Kind(
        radius=(29, 38), rough=0.03, cytoplasm=(224, 192, 206), mottle=6, nucleus="lobes", lobes=(3, 5),
        share=(0.6, 0.75), granules=(Granules((50, 120), (0.5, 0.9), (186, 138, 176)),),
    ),
    "platelet": Kind(
        radius=(7, 16), rough=0.12, cytoplasm=(184, 160, 200), mottle=8, nucleus="none",
        granules=(Granules((20, 70), (0.6, 1.3), (104, 58, 142)),),
    ),
}  # fmt: skip
