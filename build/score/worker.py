"""Runs a zip through both jobs of a Codabench worker, on this machine and cut off from it, and says how it fared.

`run(zip, bundle, work=...)` gives an Outcome; it never raises because of what the zip holds. The protocol (directories, metadata,
variables, exit codes that count, scores files) is the worker's own, in two eras where they differ.
Deviations, all on the strict side: the bundle, and the submission while it is scored, are read-only, there is no network, output is
limited (memory where asked), `scores.txt` and metadata are read by YAML's safe loader, links and special files in an output do not
reach the scoring step.
Where a bundle of the judge divides its images, the prediction step has several jobs (prediction.py); no server divides.
Not covered: queueing, the docker image's own packages (engines other than docker), GPUs, the server's speed.
"""

from collections.abc import Callable
from pathlib import Path

from build.errors import UserError
from build.score import diagnose, metadata, reports, scores
from build.score.competition import Competition, Task, load
from build.score.environment import ServerEnvironment
from build.score.job import Settings, push_output, run_job
from build.score.outcome import Finding, Outcome
from build.score.prediction import predict
from build.score.sandbox import Engine, Limits
from build.score.sandbox import engine as engine_called
from build.score.unpack import check_zip, unpack

DEFAULT_QUEUE_SECONDS = 600
"""Longest job of the server's default queue, whatever a phase allows (MAX_EXECUTION_TIME_LIMIT, as it comes)."""


def run_both_jobs(
    settings: Settings, competition: Competition, task: Task, submission: Path, work: Path, tick
) -> Outcome:
    """Both jobs of one task with an unpacked submission."""
    outcome = Outcome()
    prediction = predict(settings, task, submission, work, outcome, tick)
    if outcome.status == "failed":
        return outcome
    cause = prediction.cause
    scoring = run_job(
        settings,
        work / "scoring",
        step="scoring",
        program=task.scoring_program,
        ingestion=task.ingestion_program if task.ingestion_only_during_scoring else None,
        task=task,
        ingested=prediction.output,
        result=prediction.output,
    )
    outcome.logs += scoring.logs
    outcome.seconds["scoring"] = scoring.seconds
    if failure := diagnose.stopped(scoring, settings):
        return outcome.fail(diagnose.because(cause, failure))
    problem = diagnose.scoring_cause(scoring, settings)
    # The worker of 2024 ignores how the scoring program ends and looks for its scores only.
    if problem and settings.era != "2024-11":
        return outcome.fail(diagnose.because(cause, problem))
    found, failure, findings = scores.read(scoring.output, competition.columns, competition.primary)
    outcome.findings += findings
    if failure:
        return outcome.fail(diagnose.because(cause or problem, failure))
    if failure := push_output(scoring):
        return outcome.fail(failure)
    outcome.scores = found
    outcome.predictions = reports.predictions(prediction.output)
    outcome.findings += prediction.ignored
    if competition.detailed_results:
        outcome.detailed_results = scores.detailed_results(scoring.output)
    return outcome


def run(
    zip_path: Path,
    bundle: Path,
    *,
    work: Path,
    engine: str | Engine = "auto",
    image: str = "",
    time_limit: float | None = None,
    memory_limit: float | None = None,
    output_limit: float = 4096,
    era: str = "2026-03",
    phase: int = 0,
    environment: ServerEnvironment | None = None,
    tick: Callable[[], None] | None = None,
) -> Outcome:
    """Rehearse the zip at `zip_path` with the competition bundle (folder or zip); all files go to the new folder `work`.

    `time_limit` is in seconds a job, by default the phase's own, which the default queue caps; `memory_limit` and `output_limit` are in
    MiB a container. `engine` is one of sandbox.ENGINES, "auto" or an engine; `image` goes to it. `environment`
    describes the packages of the server. `tick` is called a few times a second while a container runs. UserError on a wrong call or a
    bundle that Codabench would refuse; whatever the zip does is in the outcome. A phase with several tasks is run task by task; the
    first failure stands, and its scores are keyed "task/column".
    """
    if era not in metadata.ERAS:
        raise UserError(f"Unknown era {era!r}; choose one of {', '.join(metadata.ERAS)}.")
    # Absolute, because a container's start has a working directory of its own.
    zip_path, bundle, work = Path(zip_path).resolve(), Path(bundle).resolve(), Path(work).resolve()
    if time_limit is not None and time_limit <= 0:
        raise UserError(f"The time limit must be above 0 seconds, got {time_limit:g}.")
    if memory_limit is not None and memory_limit <= 0:
        raise UserError(f"The memory limit must be above 0 MiB, got {memory_limit:g}.")
    check_zip(zip_path)
    work.mkdir(parents=True, exist_ok=True)
    competition = load(bundle, work)
    if not 0 <= phase < len(competition.phases):
        raise UserError(f"The bundle has {len(competition.phases)} phases; there is no phase {phase}.")
    allowed = competition.phases[phase].execution_time_limit
    limit = time_limit or (allowed if competition.queue else min(allowed, DEFAULT_QUEUE_SECONDS))
    if isinstance(engine, str):
        engine = engine_called(engine, image=image or competition.docker_image)
    settings = Settings(engine, era, Limits(limit, memory_limit, output_limit), environment)
    total = Outcome(
        engine=engine.name,
        era=era,
        time_limit=limit,
        memory_limit=memory_limit,
        not_isolated=tuple(engine.not_isolated),
    )
    total.findings += competition.findings
    if not time_limit and limit < allowed:
        sentence = f"The phase allows {allowed:g} s a job, but the server's default queue ends it after {limit:g} s."
        remedy = "Name a queue of your own in competition.yaml, or judge with --time-limit."
        total.findings.append(Finding("default-queue", "note", sentence, remedy))
    submission = work / "submission"
    if refusal := unpack(zip_path, submission):
        return total.fail(diagnose.upload(refusal, era))
    tasks = competition.phases[phase].tasks
    for index in tasks:
        task = competition.tasks[index]
        outcome = run_both_jobs(settings, competition, task, submission, work / f"task-{index}", tick)
        total.add(outcome, prefix=f"{task.name}/" if len(tasks) > 1 else "")
        if outcome.status == "failed":
            break
    return total
