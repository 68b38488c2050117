"""From what a job left to one sentence: what failed, what the server would show, what to change. Tables over branches."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from build.score import reports
from build.score.environment import ServerEnvironment
from build.score.outcome import Failure, Finding
from build.score.scores import last_line
from build.score.unpack import Refusal

UPLOAD_SHOWS = {
    (
        "failed",
        "2024-11",
    ): "It stays in 'Preparing': the worker tries ten times, a minute apart, and stops without a message.",
    ("failed", "2026-03"): "Status Failed after about 3 minutes of tries: 'Bad or empty zip file'.",
    ("stuck", "2024-11"): "It stays in 'Preparing' for ever: the worker stops without a message.",
    ("stuck", "2026-03"): "It stays in 'Preparing' for ever: the worker stops without a message.",
    ("judge", "2024-11"): "Nothing is known to speak against it there.",
    ("judge", "2026-03"): "Nothing is known to speak against it there.",
    ("disk", "2024-11"): "It stays in 'Preparing' while the worker's disk fills up.",
    ("disk", "2026-03"): "It stays in 'Preparing' while the worker's disk fills up.",
    ("scoring", "2024-11"): "Status Failed: 'Could not find scores file, did the scoring program output it?'",
    ("scoring", "2026-03"): "Status Failed: 'Child task failed or non-zero return code'.",
}
SCORING_SHOWS = {
    "2024-11": "Status Failed: 'Could not find scores file, did the scoring program output it?'; the message stands in the scoring step's stderr.",
    "2026-03": "Status Failed: 'Child task failed or non-zero return code'; the message stands in the scoring step's stderr.",
}
NETWORK_ERRORS = (
    "URLError", "gaierror", "ConnectionError", "NewConnectionError", "MaxRetryError", "ConnectionRefusedError", "SSLError",
)  # fmt: skip
NETWORK_WORDS = re.compile(
    r"URL fetch failure|name resolution|Name or service not known|Network is unreachable|Max retries exceeded|urlopen error"
)
PATH_WORDS = re.compile(r"(?:No such file or directory|[Ff]ile not found|[Uu]nable to (?:synchronously )?open file)")
QUOTED = re.compile(r"""['"]([^'"]+)['"]|(?:filepath=|filename:? ?=? ?'?)([^\s'",;)]+)""")


def upload(refusal: Refusal, era: str) -> Failure:
    """The failure of an archive that cannot be unpacked."""
    return Failure("upload", refusal.sentence, UPLOAD_SHOWS[refusal.server, era], refusal.remedy)


def reserved_metadata(step: str) -> Failure:
    """A file called `metadata` in an output."""
    return Failure(
        step,
        "The output holds a file called metadata, which the worker keeps for itself.",
        "Status Failed: 'Error, the output directory already contains a metadata file.'",
        "Write it under another name.",
    )


def stopped(job, settings) -> Failure | None:
    """The failure of a job whose container was killed at a limit, or that the worker of 2024 refuses outright."""
    step, limits = job.step, settings.limits
    for execution in job.executions.values():
        if execution.cause == "time":
            done = len(reports.predictions(job.output)) if step == "prediction" else 0
            progress = f" after {done} finished sets of images" if done else ""
            late = " or no end at all, because this worker can miss its own limit" if settings.era == "2026-03" else ""
            return Failure(
                step,
                f"The {step} step took longer than its limit of {limits.seconds:g} s and was killed{progress}.",
                f"Status Failed: 'Execution Time Limit exceeded. Limit was {limits.seconds:g} seconds'{late}.",
                "Predict in batches, with fewer test-time views or a smaller network.",
            )
        if execution.cause == "memory":
            return Failure(
                step,
                f"The {step} step needed more than {limits.memory_mib:g} MiB of memory and was killed.",
                "The container is killed (exit code 137). " + SCORING_SHOWS[settings.era],
                "Predict in small batches and keep no array of all images in float or at a larger size.",
            )
        if execution.cause == "output":
            return Failure(
                step,
                f"The {step} step wrote more than {limits.output_mib:g} MiB and was killed.",
                "The server has no limit but its disk and your quota.",
                "Write nothing beside the predictions, and print less.",
            )
        if execution.cause == "processes":
            return Failure(
                step,
                f"The {step} step started more than {limits.processes} processes and was killed.",
                "The server has no limit; it would slow down until its time limit.",
                "Predict in one process.",
            )
    if job.refusals and settings.era == "2024-11":
        message = next(iter(job.refusals.values()))
        return Failure(
            step,
            f"The worker refuses the bundle's program: {message}.",
            f"Status Failed: '{message}'",
            "Correct the bundle.",
        )
    return None


@dataclass(frozen=True)
class Seen:
    """What is known of an exception of the submission."""

    stage: str
    error: str
    message: str
    file: str
    line: str
    submission: Path
    environment: ServerEnvironment | None

    @property
    def place(self) -> str:
        """ "model.py, line 3" as far as it is known."""
        if not self.file:
            return "The submission"
        return f"{self.file}, line {self.line}," if self.line not in ("", "0") else self.file


def _module(seen: Seen) -> tuple[str, str] | None:
    found = re.search(r"No module named '([\w.]+)'", seen.message)
    if not found or seen.error not in ("ModuleNotFoundError", "ImportError"):
        return None
    name = found[1].split(".")[0]
    imports = f"{seen.place} imports {found[1]}"
    if any(path.name.startswith(f"{name}\\") for path in seen.submission.iterdir()):
        return f"{imports}, whose name in the zip has backslashes.", "Make the zip with forward slashes."
    if name == "build":
        return f"{imports}, which stays at home.", "Import only what is in the zip; `build` is never uploaded."
    if (seen.submission / name).is_dir() or (seen.submission / f"{name}.py").is_file():
        return f"{imports}, which is not in the zip.", f"Add the missing module to {name}/."
    if list(seen.submission.glob(f"*/{name}.py")) or list(seen.submission.glob(f"*/{name}/__init__.py")):
        return f"{imports}, which is in the zip, but in a subfolder.", "Zip the files, not the folder that holds them."
    if seen.environment is None:
        return f"{imports}, which is not installed.", "Put it into the zip or do without it."
    if name in seen.environment.absent:
        return f"{imports}, which the server does not have ({seen.environment.name}).", seen.environment.absent[name]
    if name in seen.environment.present:
        sentence = f"{imports}, which the server is said to have, but which is not installed here."
        return sentence, f"Install {name} here to rehearse with it, or do without it."
    sentence = f"{imports}, which is neither in the zip nor known to be on the server ({seen.environment.name})."
    return sentence, "Put it into the zip, or add it to the description of the server's environment."


def _path(seen: Seen) -> tuple[str, str] | None:
    if not (PATH_WORDS.search(seen.message) or seen.error == "FileNotFoundError"):
        return None
    quoted = [one or two for one, two in QUOTED.findall(seen.message)]
    name = quoted[-1] if quoted else ""
    if not name:
        return None
    _, own, inside = name.rpartition("/app/ingested_program/")  # the plain engine's path has more in front
    if own:
        return f"{seen.place} opens {inside!r}, which is not in the zip.", "Add the file to the zip."
    opens = f"{seen.place} opens {name!r}"
    if name.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", name):
        return f"{opens}, a path of another machine.", "Put the file into the zip and open it by Path(__file__).parent."
    if (seen.submission / name).exists():
        sentence = f"{opens} relative to the working directory, which is not the submission's folder."
        return sentence, f"Open it by Path(__file__).parent / {name!r}."
    return f"{opens}, which is not in the zip.", "Add the file to the zip and open it by Path(__file__).parent."


def _network(seen: Seen) -> tuple[str, str] | None:
    if seen.error in NETWORK_ERRORS or NETWORK_WORDS.search(seen.message):
        return (
            f"{seen.place} uses the network, which the server does not offer ({seen.error}).",
            "Put what it downloads into the zip.",
        )
    return None


def _read_only(seen: Seen) -> tuple[str, str] | None:
    if "Read-only file system" not in seen.message:
        return None
    quoted = [one or two for one, two in QUOTED.findall(seen.message)]
    what = repr(quoted[-1]) if quoted else "a file"
    return (
        f"{seen.place} writes {what}; a submission may write to the temporary folder only.",
        "Write nothing, or use tempfile.",
    )


def _arguments(seen: Seen) -> tuple[str, str] | None:
    if seen.stage == "init" and seen.error == "TypeError" and "__init__()" in seen.message:
        return (
            f"Model() cannot be made without arguments: {seen.message}.",
            "Give every argument of Model.__init__ a default.",
        )
    if seen.stage == "predict" and seen.error == "TypeError" and "predict()" in seen.message:
        return (
            f"Model.predict cannot be called with the images alone: {seen.message}.",
            "Define `def predict(self, X)`.",
        )
    if seen.error == "AttributeError" and "'Model' object has no attribute 'predict'" in seen.message:
        return "The class Model has no method predict.", "Define `def predict(self, X)`."
    return None


def _exit(seen: Seen) -> tuple[str, str] | None:
    if seen.error == "SystemExit":
        return f"{seen.place} ends the process (sys.exit).", "Remove the call."
    if seen.error == "MemoryError":
        return f"{seen.place} asks for more memory than there is.", "Predict in small batches."
    return None


def _syntax(seen: Seen) -> tuple[str, str] | None:
    if seen.error in ("SyntaxError", "IndentationError", "TabError"):
        # Python's message ends with the place, if it knows one (it does not where there are null bytes).
        said = re.sub(r" \([^()]*, line \d+\)$", "", seen.message)
        return f"{seen.place if seen.file else 'model.py'} is not valid Python: {said}.", "Correct the line."
    if seen.error in ("NameError", "UnboundLocalError"):
        return f"{seen.place} uses a name that is not defined: {seen.message}.", "Define or import it."
    return None


def _missing(seen: Seen) -> tuple[str, str] | None:
    if seen.error == "missing":
        found = sorted(seen.submission.rglob("model.py"), key=lambda path: (len(path.parts), path))
        inner = [path.parent.relative_to(seen.submission) for path in found if "__MACOSX" not in path.parts]
        if inner:
            sentence = f"model.py is not at the root of the zip but in {inner[0]}/."
            return sentence, f"Zip the contents of {inner[0]}/, not the folder."
        other = sorted(path.name for path in seen.submission.iterdir() if path.name.lower() == "model.py")
        if other:
            return f"The file is called {other[0]}; the server looks for model.py.", "Rename it."
        return "There is no model.py in the zip.", "Add model.py with the class Model."
    if seen.error == "no-class":
        return "model.py has no class Model.", "Define `class Model` with __init__(self) and predict(self, X)."
    return None


def _skew(seen: Seen) -> tuple[str, str] | None:
    if re.search(
        r"could not be deserialized|Unrecognized keyword argument|Unknown layer|Could not locate class", seen.message
    ):
        return (
            f"{seen.place} loads a model file that this Keras cannot read: {seen.message[:200]}",
            "Save it with the server's Keras version, or build the network in code and load weights only.",
        )
    return None


EXPLANATIONS = (_missing, _syntax, _module, _network, _read_only, _path, _arguments, _exit, _skew)
"""The first that knows an exception explains it."""


def prediction_cause(job, settings, submission: Path, input_data: Path | None) -> Failure | None:
    """The root cause within the prediction step, which the worker itself ignores; None where all is well."""
    shows = f"The prediction step ends as if all were well; its log holds the traceback. {SCORING_SHOWS[settings.era]}"
    record = reports.failure(job.output)
    if record.get("stage") == "contract":
        return Failure("prediction", record["sentence"], shows, record["remedy"])
    if record:
        seen = Seen(
            record["stage"],
            record["error"],
            record["message"],
            record["file"],
            record["line"],
            submission,
            settings.environment,
        )
        sentence, remedy = next(
            (found for explain in EXPLANATIONS if (found := explain(seen))), (record["sentence"] + ".", "")
        )
        remedy = remedy or "The traceback is in the prediction step's log above; correct the submission."
        return Failure("prediction", sentence, shows, remedy)
    for source, execution in job.executions.items():
        if execution.exit_code:
            what = "ingestion program" if source == "ingestion" else "submission's own command"
            said = last_line(job.text(source, "stderr"))
            sentence = f"The {what} ended with {_code(execution.exit_code)}" + (f": {said}" if said else ".")
            return Failure("prediction", sentence, shows, "The traceback is in the prediction step's log above.")
    if missing := reports.missing(job.output, input_data):
        sentence = f"The submission ended the ingestion program before {missing[0]} was predicted."
        return Failure("prediction", sentence, shows, "Remove calls of os._exit and the like.")
    return None


def _code(code: int) -> str:
    """An exit code in words."""
    if code <= 128:
        return f"exit code {code}"
    try:
        return f"exit code {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exit code {code}"


def scoring_cause(job, era: str) -> Failure | None:
    """Why the scoring program itself failed; None where it ended well."""
    program = job.executions.get("program")
    record = reports.failure(job.output)
    if record:
        return Failure(
            "scoring", record["sentence"], SCORING_SHOWS[era], record["remedy"] or "Look at the prediction step's log."
        )
    if message := job.refusals.get("program"):
        return Failure(
            "scoring", f"The scoring program cannot be run: {message}.", SCORING_SHOWS[era], "Correct the bundle."
        )
    if program is not None and program.exit_code:
        said = last_line(job.text("program", "stderr"))
        sentence = f"The scoring program ended with {_code(program.exit_code)}" + (f": {said}" if said else ".")
        return Failure(
            "scoring", sentence, SCORING_SHOWS[era], "Its log is above; look first at what the prediction step left."
        )
    if program is not None and program.exit_code is None:
        sentence = f"The scoring program could not be started: {program.detail}"
        return Failure("scoring", sentence, SCORING_SHOWS[era], "Correct the bundle's command.")
    return None


def because(cause: Failure | None, failure: Failure) -> Failure:
    """`failure` as the server shows it, explained by its root cause where one is known."""
    if cause is None:
        return failure
    return Failure(
        cause.step,
        cause.reason,
        cause.server_shows if cause.step == "prediction" else failure.server_shows,
        cause.remedy,
    )


def ignored(job, cause: Failure | None) -> list[Finding]:
    """What went wrong in the prediction step although the zip scored."""
    findings = []
    if cause is not None:
        sentence = f"The zip scored although its prediction step failed: {cause.reason}"
        findings.append(Finding("ignored-failure", "warning", sentence, cause.remedy))
    if job.removed:
        sentence = f"The output held links or special files, which are not carried to the scoring step: {', '.join(job.removed[:5])}."
        findings.append(Finding("special-files", "warning", sentence, "Write plain files."))
    if any(execution.survivors for execution in job.executions.values()):
        sentence = "Processes were left running at the end of the prediction step and were killed."
        findings.append(Finding("left-processes", "warning", sentence, "Wait for your processes to end."))
    return findings
