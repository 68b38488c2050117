"""Everything that is known of a data source, as values: what `inspect` writes as JSON and shows on its page.

Rows are rows of the source, counted from 0; classes are named as in the contract.
"""

from dataclasses import asdict, dataclass

from build.data.report import ClassRow, ReasonRow


@dataclass(frozen=True)
class Pair:
    """Two rows, how alike they are (cosine, texture, or differing bits) and the labels they bear."""

    row: int
    twin: int
    score: float
    labels: tuple[str, str]
    how: str = ""

    @property
    def across(self) -> bool:
        """Whether the two bear different labels."""
        return self.labels[0] != self.labels[1]


@dataclass(frozen=True)
class Copies:
    """A picture that occurs more than once: its first row, how often it occurs, and under which labels."""

    row: int
    count: int
    labels: dict[str, int]
    verdict: str
    """What curation made of it: kept, foreign or conflict."""


@dataclass(frozen=True)
class Outlier:
    """A picture far from all others: row, label, distance to its fifth neighbour, and whether curation calls it foreign."""

    row: int
    label: str
    distance: float
    foreign: bool


@dataclass(frozen=True)
class Background:
    """Pictures on one background: mean CIE L*a*b*, how many, of which classes, and example rows."""

    name: str
    lab: tuple[float, float, float]
    count: int
    classes: dict[str, int]
    rows: list[int]


@dataclass(frozen=True)
class Suspect:
    """A row none of whose `of` neighbours bears its label: the label most of them bear, and how many of them do."""

    row: int
    label: str
    neighbours_say: str
    votes: int
    of: int
    nearest: int


@dataclass(frozen=True)
class Search:
    """What one search for alike pairs found: pairs, how many of those curation finds too, and across labels.

    same_texture: of the most alike 200, how many show the same cell by curation's check of the texture.
    """

    name: str
    pairs: int
    confirmed: int
    same_texture: int
    across_labels: int


@dataclass(frozen=True)
class Resemblance:
    """How alike the classes are by a network's features; lists are in the contract's order."""

    shares: list[list[float]]
    agreement: list[float | None]
    inner_cosine: list[float | None]
    agreement_all: float
    doubtful: bool
    """Whether so few agree that the labels may belong to other images."""
    pairs: list[tuple[str, str, float]]
    examples: list[list[Pair]]
    """Of the first few of `pairs`, the most alike pictures."""


@dataclass(frozen=True)
class Network:
    """What a network that learned ImageNet adds."""

    name: str
    raw_counts: list[int]
    centred_counts: list[int]
    raw_pairs: list[Pair]
    centred_pairs: list[Pair]
    resemblance: Resemblance
    suspects: list[Suspect]
    suspect_count: int
    outliers: list[Outlier]


@dataclass(frozen=True)
class Findings:
    """All findings of one source; `network` is None where the network was left out, and `left_out` says why."""

    source: str
    sha256: str
    notes: tuple[str, ...]
    classes: list[ClassRow]
    reasons: list[ReasonRow]
    copies: list[Copies]
    copied_pictures: int
    near: list[Pair]
    """The first of `near_count`."""
    near_count: int
    near_across: list[Pair]
    """Those under different labels."""
    hash_bits: list[int]
    hash_pairs: list[Pair]
    searches: list[Search]
    outliers: list[Outlier]
    backgrounds: list[Background]
    background_alone: list[int]
    """The first of `background_alone_count`."""
    background_alone_count: int
    conflicts: list[Copies]
    """Of two labels or more; the first of `conflict_count`."""
    conflict_count: int
    network: Network | None
    left_out: str = ""

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        table = asdict(self)
        table["classes"] = [row._asdict() for row in self.classes]
        table["reasons"] = [row._asdict() for row in self.reasons]
        return table
