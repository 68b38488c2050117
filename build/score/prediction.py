"""The prediction step of a task: one job as on a server, or several where our own bundle divides its images (bundle_data.py).

A server asks one process for the hidden set and allows it the phase's time. The suites hold many times as many images, so each job
predicts about as many as the hidden set has, in a process of its own and under the whole limit, and one scoring job counts them all.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from build.score import diagnose, reports
from build.score.competition import Task
from build.score.job import Job, Settings, own_copy, push_output, run_job
from build.score.outcome import Failure, Finding, Log, Outcome
from build.score.sandbox.launch import discard


@dataclass
class Prediction:
    """What the scoring step gets, and what went wrong although the worker goes on to it."""

    output: Path
    cause: Failure | None = None
    """Of the first job in which something failed."""
    ignored: list[Finding] = field(default_factory=list)
    """What is to be said of it should the zip score nevertheless."""


def predict(
    settings: Settings,
    task: Task,
    submission: Path,
    work: Path,
    outcome: Outcome,
    tick: Callable[[], None] | None = None,
) -> Prediction:
    """Have the unpacked `submission` predict the task's images; files go to folders of `work` called prediction*.

    `outcome` gets logs, times and memory, and the failure of a job after which the server would score nothing.
    """
    folders = reports.jobs(task.input_data)
    merged = work / "prediction" / "output" / "predictions"
    found = Prediction(merged.parent)
    if len(folders) > 1:
        merged.mkdir(parents=True)
    logs: dict[tuple[str, str], str] = {}
    for number, input_data in enumerate(folders, 1):
        folder = work / (f"prediction-{number}" if len(folders) > 1 else "prediction")
        job = _job(settings, dataclasses.replace(task, input_data=input_data), submission, folder, tick)
        _measured(job, outcome)
        for log in job.logs:
            head = f"--- job {number} of {len(folders)} ---\n" if len(folders) > 1 and log.text else ""
            logs[log.source, log.stream] = logs.get((log.source, log.stream), "") + head + log.text
        outcome.logs = [Log("prediction", *key, text) for key, text in logs.items()]
        if failure := diagnose.stopped(job, settings):
            outcome.fail(failure)
            break
        cause = diagnose.prediction_cause(job, settings, submission, input_data)
        if failure := push_output(job):
            outcome.fail(cause or failure)
            break
        found.cause = found.cause or cause
        rules = {finding.rule for finding in found.ignored}
        found.ignored += [finding for finding in diagnose.ignored(job, cause) if finding.rule not in rules]
        if len(folders) > 1:
            if reports.missing(job.output, input_data):
                break  # the scoring step will fail for it, and further jobs would only repeat why
            predictions = reports.predictions(job.output)
            for key in reports.conditions(input_data):  # and no others: they would be another job's
                reports.take_labels(predictions[key], merged / f"{key}.npy")
            # What the worker copied beside the predictions: a copy for each job would be too much for a disk.
            for path in submission.iterdir():
                discard(job.output / path.name)
    return found


def _job(settings: Settings, task: Task, submission: Path, folder: Path, tick: Callable[[], None] | None) -> Job:
    with own_copy(submission, folder.with_name(f"{folder.name}-submission")) as own:
        return run_job(
            settings,
            folder,
            step="prediction",
            program=own,
            ingestion=None if task.ingestion_only_during_scoring else task.ingestion_program,
            task=task,
            ingested=own,
            tick=tick,
        )


def _measured(job: Job, outcome: Outcome) -> None:
    """Add a job's times and memory: of steps the longest, of image sets its own."""
    measured = Outcome(seconds={"prediction": job.seconds}, peak_mib=job.peak_mib)
    reports.add_timing(job.output, measured)
    outcome.add(measured)
