"""What the judge says: findings (one fault each) and the outcome of a rehearsal. Plain values, JSON-able, framework-free.

A failure is never an exception here: it has a status, the step it happened in, one sentence of reason, what the server would have
shown the team, and what to change.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

SEVERITIES = ("error", "warning", "note")
"""error: the zip would fail on the server; warning: it may fail or mislead; note: worth knowing."""

STEPS = ("upload", "environment", "prediction", "scoring", "scores")
"""In the order of the protocol; "environment" holds what only the server's own packages would show."""

LONGEST = 600
"""Characters of a sentence."""


def printable(line: str) -> str:
    """At most LONGEST printable characters of `line`; what a submission says may hold escapes of a terminal."""
    line = "".join(letter if letter.isprintable() else "?" for letter in line[: LONGEST + 1])
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def one_line(text: str) -> str:
    """`text` as one line of at most LONGEST printable characters."""
    return printable(" ".join(text.split()))


@dataclass(frozen=True)
class Finding:
    """One fault or property of a zip."""

    rule: str
    """Short kebab-case name, stable across versions."""
    severity: str
    message: str
    """One sentence: what is so."""
    remedy: str = ""
    """One sentence: what to change."""
    file: str = ""
    """Member of the zip, where there is one."""
    line: int = 0
    """1-based line in `file`; 0 where there is none."""

    def __post_init__(self):
        assert self.severity in SEVERITIES, self.severity
        for name in ("message", "remedy", "file"):
            object.__setattr__(self, name, one_line(getattr(self, name)))

    @property
    def place(self) -> str:
        """`file:line`, `file` or an empty string."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Log:
    """What one container wrote on one stream."""

    step: str
    """"prediction" or "scoring"."""
    source: str
    """"ingestion" or "program" (the submission in the prediction step, the scoring program in the scoring step)."""
    stream: str
    """"stdout" or "stderr"."""
    text: str


@dataclass(frozen=True)
class Failure:
    """Why a rehearsal failed, before it becomes part of an outcome."""

    step: str
    reason: str
    server_shows: str
    remedy: str

    def __post_init__(self):
        assert self.step in STEPS, self.step
        for name in ("reason", "server_shows", "remedy"):
            object.__setattr__(self, name, one_line(getattr(self, name)))


@dataclass
class Outcome:
    """How a zip fared in a rehearsal of both jobs."""

    status: str = "scored"
    """"scored" or "failed"."""
    step: str = ""
    """One of STEPS where it failed, empty where it scored."""
    reason: str = ""
    server_shows: str = ""
    """What the team would see on Codabench: the submission's status and where its message stands."""
    remedy: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    """Leaderboard column -> value, as it would be stored."""
    predictions: dict[str, Path] = field(default_factory=dict)
    """Condition key -> `.npy` of (n,) labels; only from Podium's own ingestion program."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Step -> wall seconds of its longest container; from Podium's own ingestion also "startup" (import and __init__)."""
    images: dict[str, int] = field(default_factory=dict)
    """Condition key -> images predicted; only from Podium's own ingestion program."""
    condition_seconds: dict[str, float] = field(default_factory=dict)
    """Condition key -> seconds within Model.predict; only from Podium's own ingestion program."""
    peak_mib: float | None = None
    """Largest resident memory of the prediction step's processes together, in MiB."""
    logs: list[Log] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """What the run showed beyond its outcome (ignored exit codes, dropped score keys ...)."""
    detailed_results: str = ""
    """The HTML page that the scoring program left, where the competition enables it."""
    engine: str = ""
    era: str = ""
    time_limit: float = 0.0
    """Seconds a job may take."""
    memory_limit: float | None = None
    """MiB a container may take."""
    not_isolated: tuple[str, ...] = ()
    """Sentences: what the engine does not keep from the submission."""

    def fail(self, failure: Failure) -> "Outcome":
        """This outcome with `failure` as its reason; the first failure of a run stands."""
        if self.status == "scored":
            self.status = "failed"
            self.step, self.reason = failure.step, failure.reason
            self.server_shows, self.remedy = failure.server_shows, failure.remedy
        return self

    def add(self, part: "Outcome", prefix: str = "") -> None:
        """Take over the outcome of one task or job: its scores under `prefix`, of steps the longest time, of memory the highest peak.

        Of an image set that several jobs had parts of, it has the images and seconds of all of them.
        """
        if part.status == "failed":
            self.fail(Failure(part.step, part.reason, part.server_shows, part.remedy))
        self.scores |= {prefix + key: value for key, value in part.scores.items()}
        self.predictions |= part.predictions
        for own, theirs in ((self.images, part.images), (self.condition_seconds, part.condition_seconds)):
            own.update({key: own.get(key, 0) + value for key, value in theirs.items()})
        for step, seconds in part.seconds.items():
            self.seconds[step] = max(seconds, self.seconds.get(step, 0.0))
        if part.peak_mib is not None:
            self.peak_mib = max(part.peak_mib, self.peak_mib or 0.0)
        self.logs += part.logs
        self.findings += part.findings
        self.detailed_results = part.detailed_results or self.detailed_results

    def to_dict(self) -> dict:
        """JSON-able."""
        values = dataclasses.asdict(self)
        values["predictions"] = {key: str(path) for key, path in self.predictions.items()}
        values["not_isolated"] = list(self.not_isolated)
        return values


@dataclass
class Verdict:
    """All that the judge found out about one zip."""

    outcome: Outcome
    findings: list[Finding] = field(default_factory=list)
    """Of the lint, the run and the probes: errors first."""
    timing: dict = field(default_factory=dict)
    """seconds_per_1000, startup_seconds, largest_set, and of a hidden set of known size its seconds and MiB (judge.timing_of)."""
    probed: bool = False
    """Whether the zip was also called in the unusual ways of build/score/probe.py and a record of it was left."""
    growth_bytes_per_image: float | None = None
    """Working memory of one more image within one call of predict; None where it was not measured."""
    on_suites: bool = False
    """Whether the scores are of our suites together, and not those of a bundle's own images."""

    @property
    def exit_code(self) -> int:
        """0: it would score; 1: it would fail."""
        return int(self.outcome.status != "scored")

    @property
    def sentence(self) -> str:
        """One sentence: the score, or the reason why there is none and what to change."""
        outcome = self.outcome
        if outcome.status == "scored":
            scores = ", ".join(f"{name} {value:.4f}" for name, value in outcome.scores.items())
            if self.on_suites:
                return f"It runs and would get a score; on this rehearsal's images, all suites together: {scores}."
            return f"It would score: {scores}."
        return " ".join(filter(None, ("It would fail:", outcome.reason, outcome.remedy)))

    def to_dict(self) -> dict:
        """JSON-able."""
        values = self.outcome.to_dict()
        values["findings"] = [vars(finding) for finding in self.findings]
        return {
            "exit_code": self.exit_code,
            "sentence": self.sentence,
            "timing": self.timing,
            "growth_bytes_per_image": self.growth_bytes_per_image,
            "outcome": values,
        }
