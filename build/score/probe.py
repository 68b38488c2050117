"""Contract checks at run time: how a submission behaves when it is called otherwise than the ingestion program calls it.

`probe(...)` runs programs/probe_program in the same sandbox on a small sample; `judge_record` turns what it recorded into findings.
A property that a recipe declares (it adapts to the batch it sees) is a note, not a fault.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from build.files import save_array
from build.processes import last_line
from build.score import diagnose, reports
from build.score.bundle import write_program
from build.score.competition import Task
from build.score.job import Job, Settings, own_copy, run_job
from build.score.outcome import Failure, Finding, Log

SAMPLE = 32
"""Images of the probes: enough to see a dependence, few enough to cost seconds."""
WORDS = {
    "returns": "a first call",
    "repeat": "a second call with the same images",
    "order": "the images in reverse order",
    "batch": "the images alone and in two parts",
    "dtype": "the images as floats",
    "layout": "another memory layout",
    "empty": "no image at all",
    "folder": "another working directory",
    "growth": "many images",
    "traces": "a look at what was left behind",
}
"""Check -> what the probe did when it broke off."""
BREACHES = ("nothing", "type", "dtype", "one-hot", "column", "shape", "length", "nan", "float", "range")
"""Kinds of programs/podium_labels.py."""


@dataclass
class Probed:
    """What the probes found."""

    findings: list[Finding] = field(default_factory=list)
    recorded: bool = False
    """Whether the probes left a record: without one, no findings mean nothing."""
    failure: Failure | None = None
    """Where the very first call already fails, as it would in the prediction step."""
    growth_bytes_per_image: float | None = None
    """Working memory of one more image within a call; None where it was not measured."""
    logs: list[Log] = field(default_factory=list)


def sample(images_paths: list[Path], count: int = SAMPLE) -> np.ndarray:
    """(count, H, W, C) images, taken evenly from all the files."""
    per_file = [len(part) for part in np.array_split(np.arange(count), min(count, len(images_paths)))]
    chosen = [images_paths[i] for i in np.linspace(0, len(images_paths) - 1, len(per_file)).round().astype(int)]
    parts = []
    for path, wanted in zip(chosen, per_file, strict=True):
        images = np.load(path, mmap_mode="r")
        parts.append(np.asarray(images[np.linspace(0, len(images) - 1, wanted).round().astype(int)]))
    return np.concatenate(parts)


def probe(
    settings: Settings, submission: Path, images: np.ndarray, *, classes: int, work: Path, adapts: bool = False
) -> Probed:
    """Probe the unpacked `submission` with `images` (n, H, W, C) uint8; files go to the new folder `work`.

    `adapts`: the recipe declares that predictions depend on the batch.
    """
    data = work / "data"
    data.mkdir(parents=True)
    save_array(data / "images.npy", images)
    place = settings.environment.working_directory if settings.environment else "program"
    reports.write_json(data / "probes.json", {"classes": classes, "working_directory": place})
    program = write_program("probe_program", work / "program")
    task = Task("probe", program, program, data, None)
    with own_copy(submission, work / "submission") as own:
        job = run_job(
            settings, work / "job", step="prediction", program=None, ingestion=program, task=task, ingested=own
        )
    record = reports.read_json(job.output / "probes.json")
    found = judge_record(record, adapts=adapts)
    found.logs = job.logs
    if stopped := diagnose.stopped(job, settings):
        _broke_off(found, record, stopped.reason)
    elif record.get("running"):
        execution = job.executions["ingestion"]
        _broke_off(found, record, f"the process ended with exit code {execution.exit_code}")
    elif not found.recorded:
        _nothing_recorded(found, job)
    if isinstance(record.get("failure"), dict) and record["failure"]:
        reports.write_json(job.output / "failure.json", record["failure"])
        found.failure = diagnose.prediction_cause(job, settings, submission, None)
    return found


def _broke_off(found: Probed, record: dict, reason: str) -> None:
    """A check during which the process was killed or ended."""
    doing = WORDS.get(str(record.get("running")), "the start")
    sentence = f"The probes broke off at {doing}: {reason.rstrip('.')}."
    remedy = "See the log; the server may call the model that way."
    found.findings.append(Finding("probe-broke-off", "warning", sentence, remedy, "model.py"))


def _nothing_recorded(found: Probed, job: Job) -> None:
    """Probes that left no record have found nothing out, which is not the same as having found nothing."""
    execution = job.executions["ingestion"]
    ended = execution.detail or f"the process ended with exit code {execution.exit_code}"
    said = last_line(job.text("ingestion", "stderr"))
    sentence = f"The probes left no record: {ended.rstrip('.')}{f' ({said})' if said else ''}."
    remedy = "How it behaves in unusual calls is not known; unless the zip removes or ends what it finds, the judge is at fault."
    found.findings.append(Finding("probes-lost", "warning", sentence, remedy))


def judge_record(record: dict, *, adapts: bool) -> Probed:
    """Findings from what the probe program recorded (untrusted: the submission could write there too)."""
    found = Probed()
    checks = record.get("checks")
    found.recorded = isinstance(checks, dict)
    checks = (
        {name: value for name, value in checks.items() if name in WORDS and isinstance(value, dict)}
        if found.recorded
        else {}
    )

    def say(rule: str, severity: str, sentence: str, remedy: str = "") -> None:
        found.findings.append(Finding(rule, severity, sentence, remedy, "model.py"))

    breach = checks.get("returns", {}).get("breach")
    if isinstance(breach, list) and len(breach) == 3:
        kind = str(breach[0])
        say(f"returns-{kind if kind in BREACHES else 'value'}", "error", str(breach[1]), str(breach[2]))
    if checks.get("returns", {}).get("changed_input") is True:
        say("changes-input", "warning", "Model.predict changes the images that it is given.", "Work on a copy.")
    returned = checks.get("returns", {}).get("type")
    if isinstance(returned, str) and returned != "ndarray" and not breach:
        say(
            "returns-type",
            "warning",
            f"Model.predict returns a {returned[:40]}, not a numpy array.",
            "Return np.asarray(labels).",
        )
    for name, value in checks.items():
        failure = value.get("failure")
        if isinstance(failure, dict) and name != "returns":
            severity, rule = ("note", "empty") if name == "empty" else ("warning", f"fails-{name}")
            sentence = f"With {WORDS.get(name, name)}, {str(failure.get('sentence', ''))[:300]}."
            say(rule, severity, sentence, "Make predict work for any number and kind of images.")
    _dependences(checks, say, adapts)
    _traces(checks.get("traces", {}), say)
    shape = checks.get("empty", {}).get("shape")
    if isinstance(shape, list) and shape != [0]:
        say(
            "empty",
            "note",
            f"Without images Model.predict returns shape {tuple(shape)[:4]}, not (0,).",
            "Return an empty array.",
        )
    found.growth_bytes_per_image = reports.number(checks.get("growth", {}).get("bytes_per_image"))
    return found


DEPENDENCES = (
    (
        "repeat",
        "differing",
        "nondeterministic",
        "Two calls with the same images differ for {} of {}.",
        "Seed or remove what is random.",
    ),
    (
        "order",
        "differing",
        "order-dependent",
        "In another order {} of {} images get another label.",
        "Predict each image by itself.",
    ),
    (
        "batch",
        "parts",
        "batch-dependent",
        "In two parts {} of {} images get another label.",
        "Predict each image by itself.",
    ),
    (
        "batch",
        "alone",
        "batch-dependent",
        "Alone {} of the first 4 images get another label.",
        "Predict each image by itself.",
    ),
    (
        "dtype",
        "float32",
        "dtype-dependent",
        "As float32 0..255 {} of {} images get another label.",
        "Convert the images first.",
    ),
    (
        "dtype",
        "float64",
        "dtype-dependent",
        "As float64 0..255 {} of {} images get another label.",
        "Convert the images first.",
    ),
    (
        "layout",
        "differing",
        "layout-dependent",
        "In another memory layout {} of {} images get another label.",
        "Use np.asarray.",
    ),
    (
        "folder",
        "differing",
        "folder-dependent",
        "In another working directory {} of {} images get another label.",
        "Use Path(__file__).",
    ),
)
"""Check, field, rule, sentence, remedy."""
BATCH_RULES = ("order-dependent", "batch-dependent")


def _dependences(checks: dict, say, adapts: bool) -> None:
    """Labels that change with what must not matter; each rule once."""
    said = set()
    for check, key, rule, sentence, remedy in DEPENDENCES:
        count, total = checks.get(check, {}).get(key), checks.get(check, {}).get("images")
        if not isinstance(count, int) or isinstance(count, bool) or count == 0 or rule in said:
            continue
        if "nondeterministic" in said:
            continue  # a model that differs from itself differs with anything
        said.add(rule)
        text = sentence.format(count, total) if count > 0 else f"With {WORDS[check]} the shape of the result changes."
        if rule in BATCH_RULES and adapts:
            say(rule, "note", f"{text} The recipe declares that it adapts to the images of a call.")
        else:
            say(rule, "warning", text, remedy)


def _traces(traces: dict, say) -> None:
    """Modules from elsewhere, files left behind."""
    modules = traces.get("modules")
    if isinstance(modules, dict) and modules:
        name, place = sorted(modules.items())[0]
        sentence = (
            f"The module {str(name)[:80]} is loaded from {str(place)[:120]}, outside of the zip and the packages."
        )
        say("foreign-module", "error", sentence, "Put it into the zip.")
    for key, rule, severity, sentence in (
        ("inside", "writes-inside", "warning", "It writes into its own folder: {}."),
        ("outside", "writes-outside", "note", "It leaves files in the temporary or home folder: {}."),
    ):
        paths = traces.get(key)
        if isinstance(paths, list) and paths:
            say(rule, severity, sentence.format(", ".join(str(path)[:80] for path in paths[:3])), "Write nothing.")
