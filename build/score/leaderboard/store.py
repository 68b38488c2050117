"""An append-only store of judged submissions: JSON lines, and the predictions of each entry beside them.

    store = Store(Path("runs/leaderboard"))
    entry = store.add(card, conditions, predictions)       # an entry's id
    store.record(entry, 0.87, phase="dev")                  # what the server said
    for entry in store.entries(): ...

Writers take turns by a file lock, and a line is written by one system call and synced, so a killed writer can lose no
line but the one it was writing. Lines that do not read are moved to `damaged.txt` by the next writer, never dropped.
Not covered: file systems without flock (some network mounts), and deletion, which an append-only store does not have.
"""

import errno
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from build.console import console
from build.errors import UserError
from build.files import atomic, explained, locked, sha256
from build.score.leaderboard.lines import decode, encode
from build.score.leaderboard.predictions import Predictions, load_predictions, save_predictions
from build.score.leaderboard.reported import COMPETITION as REPORTED_COMPETITION
from submission.contract import COMPETITION

DEFAULT = Path("runs/leaderboard")
PHASES = ("dev", "final")
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A judged submission as the store knows it, with what the server was recorded to have said."""

    id: str
    when: datetime
    facts: dict
    """team, file, zip_sha256, weights_sha256, commit, recipe, run, status, scores {suite: {accuracy, low, high, ...}}, ..."""
    server: dict[str, float]
    """Phase -> the server's score."""
    recorded: dict[str, datetime]
    """Phase -> when a score of it was first recorded."""

    @property
    def misled(self) -> bool:
        """Whether its accuracies forecast nothing: of synthetic cells, or of cells that the zip was trained on."""
        return misled(self.facts)

    @property
    def suites(self) -> dict[str, float]:
        """Suite -> accuracy."""
        return {name: suite["accuracy"] for name, suite in self.facts["scores"].items()}


def misled(facts: Mapping) -> bool:
    """`Entry.misled` of an entry's facts."""
    return bool(facts.get("synthetic") or facts.get("seen"))


def facts_of(card: Mapping) -> dict:
    """What the store keeps of a scorecard."""
    submission = card["submission"]
    kept = ("accuracy", "low", "high", "n", "images", "definition", "mean_corruption_error", "corruptions")
    return {
        "team": submission.get("team") or "this team",
        **{key: submission.get(key) for key in ("file", "zip_sha256", "zip_bytes", "weights_sha256", "commit", "run")},
        "seen": submission.get("seen") or 0,
        "competition": card.get("competition") or REPORTED_COMPETITION,
        "recipe": (card.get("recipe") or {}).get("name"),
        "status": "Finished" if card["outcome"].get("status") == "scored" else "Failed",
        "reason": card["outcome"].get("reason") or "",
        "scores": {name: {key: suite[key] for key in kept} for name, suite in card["suites"].items()},
        "source": card.get("source"),
        "synthetic": bool(card.get("synthetic")),
        "seed": card["seed"],
        "device": card.get("device"),
        "seconds_per_1000": card.get("seconds_per_1000"),
        "peak_mib": card.get("peak_mib"),
        "late": not (card.get("timing") or {}).get("hidden_fits", True),
        "forecast": card.get("forecast"),
    }


class Store:
    """A folder with `entries.jsonl`, `predictions/ID.npz` and, where a line was damaged, `damaged.txt`."""

    def __init__(self, folder: Path = DEFAULT):
        self.folder = Path(folder)
        self.path = self.folder / "entries.jsonl"
        self.damaged_path = self.folder / "damaged.txt"
        self._said = 0

    def locked(self) -> AbstractContextManager[None]:
        """Wait for the other writers, then hold the lock."""
        return locked(self.folder / "lock")

    def lines(self) -> tuple[list[dict], list[bytes]]:
        """Readable lines in order, and the damaged ones."""
        if not self.path.exists():
            return [], []
        with explained(self.path, "read"):
            raw = self.path.read_bytes().split(b"\n")
        decoded = [(line, decode(line)) for line in raw if line.strip()]
        return [body for _, body in decoded if body is not None], [line for line, body in decoded if body is None]

    def set_aside(self) -> None:
        """Under the lock: move damaged lines to damaged.txt, the file of entries being replaced as a whole; and end the last line."""
        good, damaged = self.lines()
        if not damaged:
            if good and not self.path.read_bytes().endswith(b"\n"):  # of a writer killed before its last byte
                self._write(b"\n")
            return
        with self.damaged_path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in damaged))
            file.flush()
            os.fsync(file.fileno())
        with atomic(self.path) as file:
            file.write(b"".join(encode(body) for body in good))
        console.print(
            f"{self.path}: {len(damaged)} damaged line(s), of a killed writer or a bad disk, "
            f"moved to {self.damaged_path}; {len(good)} lines are whole.",
            markup=False,
        )

    def append(self, body: Mapping) -> None:
        """Under the lock: write one line and wait until it is on the disk."""
        self._write(encode(body))

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes of an entry fitted", str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def add(self, card: Mapping, conditions: Sequence = (), predictions: Mapping | None = None) -> str:
        """Append a scorecard as an entry with the answers it came from; return the entry's new id."""
        facts = facts_of(card)
        with self.locked():
            self.set_aside()
            taken = {body["id"] for body in self.lines()[0] if body["kind"] == "entry"}
            stem = (facts["zip_sha256"] or f"{zlib.crc32(json.dumps(facts, sort_keys=True).encode()):08x}")[:8]
            name, number = stem, 2
            while name in taken:
                name, number = f"{stem}-{number}", number + 1
            if predictions:
                # Before the line: an entry never points at predictions that are not there.
                save_predictions(self.predictions_path(name), conditions, predictions)
            self.append({"kind": "entry", "format": FORMAT, "id": name, "when": now(), **facts})
        return name

    def record(self, entry: str, score: float, *, phase: str = "dev") -> str:
        """Append what the server said about an entry; the last record of a phase counts.

        Returns the entry's full id.
        """
        if phase not in PHASES:
            raise UserError(f"There is no phase {phase!r}; choose among {', '.join(PHASES)}.")
        if not 0 <= score <= 1:
            raise UserError(f"A server's score is a share from 0 to 1, got {score:g}; 87 % is 0.87.")
        name = self.find(entry).id
        with self.locked():
            self.set_aside()
            self.append({"kind": "server", "format": FORMAT, "id": name, "when": now(), "phase": phase, "score": score})
        return name

    def act(self, entry: str, kind: str, *, phase: str = "dev") -> str:
        """Append an owner's "add" to or "remove" from the board of a phase, for the rules that leave it to the owner."""
        assert kind in ("add", "remove"), kind
        name = self.find(entry).id
        with self.locked():
            self.set_aside()
            self.append({"kind": kind, "format": FORMAT, "id": name, "when": now(), "phase": phase})
        return name

    def entries(self, *, shared: bool = False) -> list[Entry]:
        """All entries in the order in which they were added, each with its recorded server scores.

        shared: also with those that were recorded of the same bytes under another entry; the last record counts.
        """
        good, damaged = self.lines()
        if len(damaged) > self._said:  # once, though a command reads the entries several times
            self._said = len(damaged)
            console.print(
                f"{self.path}: {len(damaged)} damaged line(s) passed over; "
                f"the next writer moves them to {self.damaged_path}.",
                markup=False,
            )
        server: dict[str, dict[str, float]] = {}
        recorded: dict[str, dict[str, datetime]] = {}
        zips = {body["id"]: body.get("zip_sha256") for body in good if body["kind"] == "entry"} if shared else {}

        def whose(name: str) -> str:
            return zips.get(name) or name

        for body in good:
            if body["kind"] == "server":
                of = whose(body["id"])
                server.setdefault(of, {})[body["phase"]] = body["score"]
                recorded.setdefault(of, {}).setdefault(body["phase"], datetime.fromisoformat(body["when"]))
        special = ("kind", "format", "id", "when")
        return [
            Entry(
                body["id"],
                datetime.fromisoformat(body["when"]),
                {key: value for key, value in body.items() if key not in special},
                server.get(whose(body["id"]), {}),
                recorded.get(whose(body["id"]), {}),
            )
            for body in good
            # Of another competition's images, judged from this folder before the contract was changed, nothing is said here.
            if body["kind"] == "entry" and body.get("competition", REPORTED_COMPETITION) == COMPETITION
        ]

    def runs_of(self, zip_sha256: str) -> str | None:
        """The run that a zip of these bytes was packaged from, of an ensemble "ID + ID"; None where no entry says."""
        runs = [entry.facts.get("run") for entry in self.entries() if entry.facts.get("zip_sha256") == zip_sha256]
        return next((run for run in reversed(runs) if run), None)

    def pairs(self) -> list[tuple[dict[str, float], float]]:
        """(suite -> accuracy, the server's score) of every zip with a recorded score, the latest phase's.

        A zip that was judged several times has the suites of all of them, of each the last.
        """
        found: dict[str, tuple[dict[str, float], float]] = {}
        for entry in self.entries(shared=True):
            scores = [entry.server[phase] for phase in PHASES if phase in entry.server]
            if scores and entry.suites and not entry.misled:
                name = entry.facts.get("zip_sha256") or entry.id
                known, _ = found.get(name, ({}, 0.0))
                found[name] = known | entry.suites, scores[-1]
        return list(found.values())

    def actions(self, phase: str) -> list[tuple[str, str, datetime]]:
        """(entry's id, "add" or "remove", when) of a phase's board, in order."""
        return [
            (body["id"], body["kind"], datetime.fromisoformat(body["when"]))
            for body in self.lines()[0]
            if body["kind"] in ("add", "remove") and body.get("phase", PHASES[0]) == phase
        ]

    def find(self, name: str) -> Entry:
        """The entry of that id, of the zip at that path, or of the only id, file or run that begins so; of one zip's entries the last.

        UserError where there is none, or where several zips have it.
        """
        if not name.strip():
            raise UserError("Expected the id, file or run of an entry, got an empty one.")
        entries = self.entries()
        exact = [entry for entry in entries if entry.id == name]
        if not exact and name.endswith(".zip") and Path(name).is_file():
            digest = sha256(Path(name))  # packaging calls every zip submission.zip
            exact = [entry for entry in entries if entry.facts.get("zip_sha256") == digest]
            if not exact:
                raise UserError(
                    f"{name}, as it is now, was not judged yet: nox -s score -- {name}. An earlier zip of that name goes by its entry's id."
                )
        found = exact or [
            entry
            for entry in entries
            if any((text or "").startswith(name) for text in (entry.id, entry.facts["file"], entry.facts["run"]))
        ]
        if found and len({entry.facts.get("zip_sha256") or entry.id for entry in found}) == 1:
            return found[-1]  # one zip, judged again
        if found:
            raise UserError(
                f"Several entries begin with {name!r}: {', '.join(entry.id for entry in found)}; give more of the id."
            )
        known = ", ".join(entry.id for entry in entries[-5:]) or "none yet; `nox -s score -- ZIP` adds one"
        raise UserError(f"There is no entry {name!r} in {self.path}; the latest are: {known}.")

    def predictions_path(self, entry: str) -> Path:
        """Where the answers of an entry lie."""
        return self.folder / "predictions" / f"{entry}.npz"

    def has_predictions(self, entry: str) -> bool:
        """Whether the answers of an entry were kept."""
        return self.predictions_path(entry).is_file()

    def predictions(self, entry: str) -> Predictions:
        """The answers of an entry; UserError where none were kept or their file is damaged."""
        return load_predictions(self.predictions_path(entry))


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds: two entries of one second keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
