"""From what a job left to one sentence: what failed, what the server would show, what to change. Tables over branches."""

import re
import signal
from pathlib import Path

from build.processes import last_line
from build.score import reports
from build.score.explain import explain
from build.score.metadata import ERAS
from build.score.outcome import Failure, Finding
from build.score.seen import Seen
from build.score.unpack import Refusal

SCORING_FAILED = {
    "2024-11": "Status Failed: 'Could not find scores file, did the scoring program output it?'",
    "2026-03": "Status Failed: 'Child task failed or non-zero return code'",
}
SCORING_SHOWS = {
    era: f"{shown}; the message stands in the scoring step's stderr." for era, shown in SCORING_FAILED.items()
}
UNSEEN = "The prediction step ends as if all were well; its log holds the traceback."
MEMORY_REMEDY = "Predict in small batches and keep no array of all images in float or at a larger size."
UPLOAD_SHOWS = {
    "failed": {
        "2024-11": "It stays in 'Preparing': the worker tries ten times, a minute apart, and stops without a message.",
        "2026-03": "Status Failed after about 3 minutes of tries: 'Bad or empty zip file'.",
    },
    "stuck": dict.fromkeys(ERAS, "It stays in 'Preparing' for ever: the worker stops without a message."),
    "judge": dict.fromkeys(ERAS, "Nothing is known to speak against it there."),
    "disk": dict.fromkeys(ERAS, "It is unpacked there as long as the worker's disk has room; the judge stops here."),
    "scoring": SCORING_FAILED | {"2026-03": f"{SCORING_FAILED['2026-03']}."},
}
"""What the server does with an archive (unpack.Refusal.server) -> era of its worker -> what it shows."""


def upload(refusal: Refusal, era: str) -> Failure:
    """The failure of an archive that cannot be unpacked."""
    return Failure("upload", refusal.sentence, UPLOAD_SHOWS[refusal.server][era], refusal.remedy)


def reserved_metadata(step: str) -> Failure:
    """A file called `metadata` in an output."""
    return Failure(
        step,
        "The output holds a file called metadata, which the worker keeps for itself.",
        "Status Failed: 'Error, the output directory already contains a metadata file.'",
        "Write it under another name.",
    )


def nothing_delivered() -> Failure:
    """A prediction step without an output: the worker cannot send what was never made."""
    return Failure(
        "prediction",
        "Nothing was copied and nothing ran: the zip's metadata names no command, and the task has no ingestion program in this step.",
        "Status Failed: 'Problem fetching ... to put in input/res'.",
        "Remove the file metadata from the zip.",
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
                "Predict in batches, with fewer test-time views or a smaller network; or, where the server has a GPU or is faster than "
                "this machine's processor, on which the judge predicts, allow more by --time-limit.",
            )
        if execution.cause == "memory":
            return Failure(
                step,
                f"The {step} step needed more than {limits.memory_mib:g} MiB of memory and was killed.",
                "The container is killed (exit code 137). " + SCORING_SHOWS[settings.era],
                MEMORY_REMEDY,
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
    if job.crash:
        return Failure(
            step,
            f"The worker cannot read {job.crash} and stops at it.",
            "It stays in 'Running': the worker stops without a message.",
            "Remove that file, or write `command: ...` into it, in UTF-8.",
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


def prediction_cause(job, settings, submission: Path, input_data: Path | None) -> Failure | None:
    """The root cause within the prediction step, which the worker itself ignores; None where all is well."""
    shows = f"{UNSEEN} {SCORING_SHOWS[settings.era]}"
    record = reports.failure(job.output)
    if job.copied and record == reports.failure(submission):
        record = {}  # a file of the zip, copied into the output with all the others
    if record.get("stage") == "contract":
        return Failure("prediction", record["sentence"], shows, record["remedy"])
    if record:
        seen = Seen.of(record, submission, settings.environment)
        sentence, remedy = explain(seen) or (record["sentence"] + ".", "")
        remedy = remedy or "The traceback is in the prediction step's log above; correct the submission."
        return Failure("prediction", sentence, shows, remedy)
    if message := job.refusals.get("ingestion"):
        return Failure("prediction", f"The ingestion program cannot be run: {message}.", shows, "Correct the bundle.")
    for source, execution in job.executions.items():
        what = "ingestion program" if source == "ingestion" else "submission's own command"
        if execution.cause == "lost":
            sentence = "The process that watches over the submission was killed, most likely by the submission."
            return Failure("prediction", sentence, shows, "Remove calls of os.kill and the like.")
        if execution.exit_code is None:
            sentence = f"The {what} could not be started: {execution.detail}."
            return Failure("prediction", sentence, shows, "Name a command that is there.")
        if execution.exit_code == 128 + signal.SIGKILL:
            sentence = f"The {what} was killed from outside, most likely because {_out_of_memory(settings)}."
            return Failure("prediction", sentence, shows, MEMORY_REMEDY)
        if execution.exit_code:
            said = last_line(job.text(source, "stderr"))
            sentence = f"The {what} ended with {_code(execution.exit_code)}" + (
                f": {said.rstrip('.')}." if said else "."
            )
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


def _out_of_memory(settings) -> str:
    """Why a container was killed that nobody here killed: docker's own limit is not seen from here."""
    if settings.limits.memory_mib and settings.engine.name == "docker":
        return f"it needed more than its limit of {settings.limits.memory_mib:g} MiB"
    return "this machine's memory ran out"


def _absent(said: str, settings) -> str:
    """What to do where the scoring program, which no zip is a part of, imports what is not installed here; else ""."""
    if not re.search(r"No module named '[\w.]+'", said) or settings.engine.name == "docker":
        return ""
    return "That says nothing of the zip: install the package that has it here, or judge in the bundle's image (--engine docker)."


def scoring_cause(job, settings) -> Failure | None:
    """Why the scoring program itself failed; None where it ended well."""
    era = settings.era
    program = job.executions.get("program")
    # A program that ends well has not failed, whatever lies in an output that a submission may write to as well.
    record = reports.failure(job.output) if program is None or program.exit_code else {}
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
        remedy = _absent(said, settings) or "Its log is above; look first at what the prediction step left."
        return Failure("scoring", sentence, SCORING_SHOWS[era], remedy)
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
        f"{UNSEEN} {failure.server_shows}" if cause.step == "prediction" else failure.server_shows,
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
