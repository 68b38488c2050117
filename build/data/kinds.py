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


PURPLE, DARK, PINK, VIOLET = (92, 34, 128), (56, 20, 112), (188, 102, 122), (132, 84, 156)
KINDS = {
    "basophil": Kind(
        radius=(25, 36), rough=0.05, cytoplasm=(168, 114, 164), mottle=10, nucleus="lobes", lobes=(1, 3),
        share=(0.68, 0.88), stain=(84, 34, 134), chromatin=14,
        granules=(Granules((200, 340), (0.8, 1.7), DARK, over=True),),
    ),
    "eosinophil": Kind(
        radius=(29, 37), rough=0.035, cytoplasm=(204, 138, 150), mottle=7, nucleus="lobes", lobes=(2, 3),
        share=(0.74, 0.9), stain=(74, 30, 134), chromatin=20,
        granules=(Granules((180, 300), (0.9, 1.5), PINK), Granules((20, 60), (0.8, 1.3), (220, 168, 176))),
    ),
    "erythroblast": Kind(
        radius=(19, 31), rough=0.045, cytoplasm=(166, 144, 182), mottle=6, nucleus="disc", share=(0.5, 0.76),
        stain=(62, 26, 118), chromatin=20, off_centre=0.6,
    ),
    "immature granulocytes": Kind(
        radius=(28, 42), rough=0.05, cytoplasm=(166, 130, 176), mottle=9, nucleus="kidney", share=(0.64, 0.84),
        stain=(82, 32, 138), chromatin=22, off_centre=0.7,
        granules=(Granules((80, 220), (0.5, 0.95), PURPLE), Granules((10, 90), (0.5, 0.9), PURPLE, over=True)),
    ),
    "lymphocyte": Kind(
        radius=(20, 29), rough=0.045, cytoplasm=(140, 128, 192), mottle=6, nucleus="disc", share=(0.8, 0.95),
        stain=(68, 28, 128), chromatin=20, off_centre=0.5,
    ),
    "monocyte": Kind(
        radius=(33, 44), rough=0.08, cytoplasm=(150, 126, 176), mottle=10, nucleus="kidney", share=(0.6, 0.78),
        stain=(92, 38, 142), chromatin=22, vacuoles=14, off_centre=0.5,
        granules=(Granules((0, 50), (0.5, 0.8), VIOLET),),
    ),
    "neutrophil": Kind(
        radius=(29, 38), rough=0.035, cytoplasm=(214, 172, 188), mottle=8, nucleus="lobes", lobes=(3, 5),
        share=(0.7, 0.86), stain=(70, 28, 132), chromatin=20,
        granules=(Granules((70, 150), (0.5, 0.9), (174, 122, 164)),),
    ),
    "platelet": Kind(
        radius=(7, 16), rough=0.06, cytoplasm=(158, 112, 172), mottle=14, nucleus="none",
        granules=(Granules((40, 110), (0.6, 1.2), (98, 44, 142)),),
    ),
}  # fmt: skip
