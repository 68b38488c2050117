"""Find everything: copies, foreign pictures, alike pairs, backgrounds, classes that look alike, labels that look wrong.

    found = inspect(prepare(source, recipe, seed=0), cache=Path("data"), network=True)

Nothing here depends on chance. What takes long is kept under the cache, so that a second call takes seconds.
"""

import hashlib
from pathlib import Path

import numpy as np

from build import files
from build.console import bar
from build.data import near
from build.data.foreign import NEIGHBOUR
from build.data.prepare import Prepared
from build.data.report import reasons, summary
from build.inspection import backgrounds, embedding, resemblance, similarity
from build.inspection.findings import (
    Background,
    Copies,
    Findings,
    Network,
    Outlier,
    Pair,
    Resemblance,
    Search,
    Suspect,
)
from build.inspection.measure import Measures, measure
from submission import contract

NEIGHBOURS = 10
ALIKE = 0.95
"""What the competition report calls similar."""
ALIKE_CENTRED = 0.9
HASH_BITS = 6
"""Hashes that differ in at most so many of 64 bits are shown as a pair."""
LONGEST = 200
"""Entries of a list in the JSON; counts are those of everything found."""


class Inspector:
    """Findings of one prepared source; the steps share its labels, names and rows."""

    def __init__(self, prepared: Prepared, *, cache: Path):
        self.prepared, self.cache = prepared, Path(cache)
        self.labels = prepared.cells.labels
        self.kept = prepared.curation.kept
        self.verdicts = {d.row: d.reason for d in prepared.curation.dropped if d.reason != "duplicate"}
        pairs = np.array([(n.row, n.twin) for n in prepared.curation.near], np.int64).reshape(-1, 2)
        self.near = self._keys(*pairs.T)
        """Keys of the pairs that curation found."""
        self.measures: Measures = measure(prepared.cells, cache=self.cache)
        self.kept_positions = np.searchsorted(self.measures.rows, self.kept)

    def name(self, row: int) -> str:
        """The class that the row bears."""
        return contract.CLASSES[self.labels[row]]

    def pair(self, row: int, twin: int, score: float, how: str = "") -> Pair:
        """A pair in ascending order with its labels."""
        row, twin = sorted((int(row), int(twin)))
        return Pair(row, twin, round(float(score), 4), (self.name(row), self.name(twin)), how)

    def tally(self, rows: np.ndarray) -> dict[str, int]:
        """How often each class occurs among rows, classes without one left out."""
        counts = np.bincount(self.labels[rows], minlength=len(contract.CLASSES)).tolist()
        return {name: n for name, n in zip(contract.CLASSES, counts, strict=True) if n}

    def search(self, name: str, first: np.ndarray, second: np.ndarray) -> Search:
        """Count pairs of rows, those that curation found too, and those across labels. The most alike come first."""
        images = self.prepared.cells.images
        confirmed = np.isin(self._keys(first, second), self.near)
        same = [
            bool(known) or near.texture(np.asarray(images[one]), np.asarray(images[other])) >= near.MOVED_TEXTURE
            for known, one, other in zip(confirmed[:LONGEST], first[:LONGEST], second[:LONGEST], strict=True)
        ]
        across = int((self.labels[first] != self.labels[second]).sum())
        return Search(name, len(first), int(confirmed.sum()), sum(same), across)

    def _keys(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """A number for each pair of rows, whichever of the two comes first."""
        return np.minimum(first, second) * len(self.labels) + np.maximum(first, second)

    def copies(self) -> list[Copies]:
        """Pictures that occur more than once, most copies first."""
        first, count = np.unique(self.measures.first, return_counts=True)
        order = np.flatnonzero(count > 1)
        order = order[np.lexsort((first[order], -count[order]))]
        return [
            Copies(int(r), int(n), self.tally(np.flatnonzero(self.measures.first == r)), self.verdicts.get(r, "kept"))
            for r, n in zip(first[order].tolist(), count[order].tolist(), strict=True)
        ]

    def outlier(self, row: int, distance: float) -> Outlier:
        """An outlier of the list."""
        return Outlier(int(row), self.name(row), round(float(distance), 4), self.verdicts.get(int(row)) == "foreign")

    def backgrounds(self) -> tuple[list[Background], list[int]]:
        """Groups of the kept cells' backgrounds, and the rows in none of them."""
        found, alone = backgrounds.groups(self.measures.backgrounds[self.kept_positions])
        listed = []
        for group in found:
            rows = self.kept[group.positions]
            lab = tuple(round(v, 1) for v in group.lab)
            listed.append(
                Background(group.name, lab, len(rows), self.tally(rows), rows[:: max(1, len(rows) // 24)].tolist()[:24])
            )
        return listed, self.kept[alone].tolist()

    def cosines(self, units: np.ndarray, key: str, *, least: float, what: str) -> similarity.Cosines:
        """Compare all pairs of `units`, or read what a former call found."""
        facts = (self.prepared.cells.sha256, embedding.identity(), key, str(NEIGHBOURS), str(least))
        digest = hashlib.sha256("|".join(facts).encode() + self.kept.tobytes())
        digest.update(Path(similarity.__file__).read_bytes())
        path = self.cache / f"cosines-{digest.hexdigest()[:20]}.npz"
        if path.exists():
            try:
                return similarity.Cosines(**files.arrays(path))
            except (OSError, ValueError, TypeError):
                path.unlink()  # damaged: compared again below
        with bar(what, len(units)) as advance:
            found = similarity.cosines(units, neighbours=NEIGHBOURS, least=least, advance=advance)
        with files.atomic(path) as file:
            np.savez_compressed(file, **vars(found))
        return found

    def network(self) -> tuple[Network, list[Search]]:
        """What the network's features add: alike pairs, classes that look alike, suspect labels, outliers."""
        rows = self.measures.rows
        vectors = embedding.embed(self.prepared.cells, rows, cache=self.cache)
        cells = vectors[self.kept_positions].astype(np.float32)
        mean = cells.mean(0)
        raw = self.cosines(similarity.unit(cells), "raw", least=ALIKE, what="Comparing features")
        units = similarity.unit(cells - mean)
        centred = self.cosines(units, "centred", least=ALIKE_CENTRED, what="Comparing features without their mean")
        raw_least = max(ALIKE, float(raw.least))
        searches = [self.search(f"network, cosine at least {raw_least:g}", self.kept[raw.first], self.kept[raw.second])]
        for least in (ALIKE, ALIKE_CENTRED):
            least = max(least, float(centred.least))
            there = centred.cosine >= least
            pairs = self.kept[centred.first[there]], self.kept[centred.second[there]]
            searches.append(self.search(f"network without the mean, at least {least:g}", *pairs))
        labels = self.labels[self.kept]
        others = np.setdiff1d(np.arange(len(rows)), self.kept_positions)
        apart = similarity.closeness_of(
            similarity.unit(vectors[others].astype(np.float32) - mean), units, rank=NEIGHBOUR
        )
        fifth = centred.closeness[:, min(NEIGHBOUR, centred.closeness.shape[1]) - 1]
        distance = np.concatenate([1 - fifth, 1 - apart])
        rows = np.concatenate([self.kept, rows[others]])
        far = np.lexsort((rows, -distance))[:12]
        suspects = resemblance.suspects(labels, centred.neighbours, len(contract.CLASSES))
        network = Network(
            name="EfficientNet-Lite2, ImageNet",
            raw_counts=raw.counts.tolist(),
            centred_counts=centred.counts.tolist(),
            raw_pairs=self._pairs(raw),
            centred_pairs=self._pairs(centred),
            resemblance=self._resemblance(centred, units, labels),
            suspects=[self._suspect(one, centred.neighbours[one.position], labels) for one in suspects[:LONGEST]],
            suspect_count=len(suspects),
            outliers=[self.outlier(rows[i], distance[i]) for i in far.tolist()],
        )
        return network, searches

    def _suspect(self, one: resemblance.Suspect, neighbours: np.ndarray, labels: np.ndarray) -> Suspect:
        """An entry of the list, with the nearest of its neighbours (k,) that bears the label most of them bear."""
        row = int(self.kept[one.position])
        like = int(self.kept[neighbours[labels[neighbours] == one.votes_for][0]])
        return Suspect(row, self.name(row), contract.CLASSES[one.votes_for], one.votes, one.of, like)

    def _pairs(self, found: similarity.Cosines) -> list[Pair]:
        first, second = self.kept[found.first[:LONGEST]], self.kept[found.second[:LONGEST]]
        return [self.pair(*triple) for triple in zip(first, second, found.cosine[:LONGEST], strict=True)]

    def _resemblance(self, found: similarity.Cosines, units: np.ndarray, labels: np.ndarray) -> Resemblance:
        classes = len(contract.CLASSES)
        table = resemblance.shares(labels, found.neighbours, classes)
        likeness = resemblance.likeness(table, labels)
        right = resemblance.agreement(labels, found.neighbours, classes) == labels
        per_class = [float(right[labels == c].mean()) if (labels == c).any() else None for c in range(classes)]
        return Resemblance(
            shares=table.round(4).tolist(),
            agreement=[None if v is None else round(v, 4) for v in per_class],
            inner_cosine=[None if v is None else round(v, 4) for v in resemblance.inner_cosine(units, labels, classes)],
            agreement_all=round(float(right.mean()), 4),
            doubtful=resemblance.doubtful(labels, float(right.mean()), found.neighbours.shape[1]),
            pairs=[(contract.CLASSES[a], contract.CLASSES[b], round(lift, 3)) for a, b, lift in likeness],
            examples=[self._examples(found, labels, a, b) for a, b, _ in likeness[:5]],
        )

    def _examples(self, found: similarity.Cosines, labels: np.ndarray, a: int, b: int, count: int = 3) -> list[Pair]:
        """The most alike cells of classes a and b, each cell once."""
        near = labels[found.neighbours]
        hit = ((labels == a)[:, None] & (near == b)) | ((labels == b)[:, None] & (near == a))
        rows, columns = np.nonzero(hit)
        order = np.argsort(-found.closeness[rows, columns], kind="stable")
        pairs, used = [], set()
        for index in order.tolist():
            one, other = int(rows[index]), int(found.neighbours[rows[index], columns[index]])
            if not {one, other} & used and len(pairs) < count:
                used |= {one, other}
                pairs.append(self.pair(self.kept[one], self.kept[other], found.closeness[rows[index], columns[index]]))
        return pairs


def inspect(prepared: Prepared, *, cache: Path, network: bool, left_out: str = "") -> Findings:
    """Find everything; without `network` its part is left out, and `left_out` is the sentence that says why."""
    one = Inspector(prepared, cache=cache)
    copies = one.copies()
    hashes = one.measures.hashes[one.kept_positions]
    first, second, bits, most_bits = similarity.hash_pairs(hashes, at_most=HASH_BITS)
    first, second = one.kept[first], one.kept[second]
    twins = [one.pair(n.row, n.twin, n.score, n.how) for n in prepared.curation.near]
    near_rows = np.array([(p.row, p.twin) for p in twins], np.int64).reshape(-1, 2)
    searches = [one.search("curation: thumbnails, spectra, then texture", *near_rows.T)]
    searches += [
        one.search(f"perceptual hash, at most {n} of 64 bits", first[bits <= n], second[bits <= n])
        for n in range(0, most_bits + 1, 2)
    ]
    learned = None
    if network:
        learned, more = one.network()
        searches += more
    isolation = one.measures.isolation
    far = np.lexsort((one.measures.rows, -isolation))[:12]
    groups, alone = one.backgrounds()
    conflicts = [c for c in copies if len(c.labels) > 1 and c.verdict == "conflict"]
    notes, caveat = prepared.cells.notes, prepared.curation.caveat.removesuffix(".")
    return Findings(
        source=prepared.cells.source,
        sha256=prepared.cells.sha256,
        notes=(*notes, caveat) if caveat else notes,
        classes=summary(prepared),
        reasons=reasons(prepared),
        copies=copies[:LONGEST],
        copied_pictures=len(copies),
        near=twins[:LONGEST],
        near_count=len(twins),
        near_across=[pair for pair in twins if pair.across][:LONGEST],
        hash_bits=np.bincount(bits, minlength=HASH_BITS + 1).tolist(),
        hash_pairs=[one.pair(*three) for three in zip(first[:LONGEST], second[:LONGEST], bits, strict=False)],
        searches=searches,
        outliers=[one.outlier(one.measures.rows[i], isolation[i]) for i in far.tolist()],
        backgrounds=groups,
        background_alone=alone[:LONGEST],
        background_alone_count=len(alone),
        conflicts=conflicts[:LONGEST],
        conflict_count=len(conflicts),
        network=learned,
        left_out=left_out,
    )
