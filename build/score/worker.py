"""Runs a zip through both jobs of a Codabench worker, on this machine and cut off from it, and says how it fared.

`run(zip, bundle, work=...)` gives an Outcome; it never raises because of what the zip holds. The protocol (directories, metadata,
variables, exit codes that count, scores files) is the worker's own, in two eras where they differ.
Deviations, all on the strict side: the submission and the bundle are read-only, there is no network, memory and output are limited,
`scores.txt` and metadata are read by YAML's safe loader, links and special files in an output do not reach the scoring step.
Not covered: queueing, the docker image's own packages (engines other than docker), GPUs, the server's speed.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from build.errors import UserError
from build.score import diagnose, metadata, reports, scores
from build.score.competition import Competition, Task, load
from build.score.environment import ServerEnvironment
from build.score.outcome import Failure, Log, Outcome
from build.score.sandbox import Command, Engine, Execution, Limits, Mount, run_together
from build.score.sandbox import engine as engine_called
from build.score.unpack import unpack

SERVER_ENVIRONMENT = Path(__file__).parent / "programs" / "server_environment"
SHOWN_LOG = 200_000
"""Characters of each log that an outcome keeps: the first and the last half."""


@dataclass(frozen=True)
class Settings:
    """How the worker behaves in all its jobs."""

    engine: Engine
    era: str
    limits: Limits
    environment: ServerEnvironment | None
    """Hides packages from the submission that this server lacks; None shows everything."""


@dataclass
class Job:
    """What one job left."""

    step: str
    executions: dict[str, Execution]
    """"ingestion" and "program" -> how its container ended, where there was one."""
    refusals: dict[str, str]
    """"ingestion" and "program" -> what the worker said instead of running it."""
    copied: bool
    """Whether the program folder was copied into the output."""
    output: Path
    logs: list[Log]
    removed: list[str] = field(default_factory=list)
    """Links and special files that its output held."""

    @property
    def seconds(self) -> float:
        """Wall time of the longest container."""
        return max((one.seconds for one in self.executions.values()), default=0.0)

    @property
    def peak_mib(self) -> float | None:
        """Memory of the containers together; None where it was not measured."""
        peaks = [one.peak_mib for one in self.executions.values() if one.peak_mib is not None]
        return sum(peaks) if peaks else None

    def text(self, source: str, stream: str) -> str:
        """One log."""
        return next((log.text for log in self.logs if (log.source, log.stream) == (source, stream)), "")


def _log(path: Path) -> str:
    """A log as text, its middle left out where it is long."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size <= SHOWN_LOG:
                return file.read().decode(errors="replace")
            head = file.read(SHOWN_LOG // 2)
            file.seek(-SHOWN_LOG // 2, 2)
            middle = f"\n... {size - SHOWN_LOG} bytes left out ...\n"
            return head.decode(errors="replace") + middle + file.read().decode(errors="replace")
    except OSError:
        return ""


def _hiding(settings: Settings, folder: Path) -> tuple[list[Mount], dict[str, str]]:
    """Mounts and variables that make absent packages absent for the submission."""
    if settings.environment is None or settings.engine.name == "docker":
        return [], {}
    hide = folder / "server_environment"
    shutil.rmtree(hide, ignore_errors=True)
    shutil.copytree(SERVER_ENVIRONMENT, hide, ignore=shutil.ignore_patterns("__pycache__"))
    reports.write_json(hide / "present.json", {"present": sorted(settings.environment.present)})
    return [Mount(hide, "/app/.server")], {"PYTHONPATH": "/app/.server"}


def run_job(
    settings: Settings,
    folder: Path,
    *,
    step: str,
    program: Path | None,
    ingestion: Path | None,
    task: Task,
    ingested: Path | None,
    result: Path | None = None,
    tick: Callable[[], None] | None = None,
) -> Job:
    """One job in `folder` (made): `program` and `ingestion` side by side, sharing the output.

    `ingested` is what the ingestion program sees as /app/ingested_program, `result` what a scoring job sees as /app/input/res.
    """
    is_scoring = step == "scoring"
    output, empty = folder / "output", folder / "data"
    empty.mkdir(parents=True)
    job = Job(step, {}, {}, False, output, [])
    wanted: dict[str, tuple[Path, metadata.Metadata]] = {}
    for kind, directory in (("program", program), ("ingestion", ingestion)):
        found = metadata.read(directory, kind)
        if found.action == "copy":
            shutil.copytree(directory, output)
            job.copied = True
        elif found.action == "refuse":
            job.refusals[kind] = found.message
        elif found.action == "run":
            wanted[kind] = (directory, found)
    output.mkdir(exist_ok=True)
    commands: dict[str, Command] = {}
    for kind, (directory, found) in wanted.items():
        mounts = [
            Mount(directory, "/app/program"),
            Mount(output, "/app/output", writable=True),
            Mount(empty, "/app/data"),
        ]
        env = {"PYTHONUNBUFFERED": "1"}
        if kind == "ingestion" and ingested is not None:
            mounts.append(Mount(ingested, "/app/ingested_program"))
        if task.input_data is not None and (not is_scoring or task.ingestion_only_during_scoring):
            mounts.append(Mount(task.input_data, "/app/input_data"))
        if is_scoring:
            shared = folder / "shared"
            shared.mkdir(exist_ok=True)
            mounts += [Mount(shared, "/app/shared", writable=True), Mount(result, "/app/input/res")]
            if task.reference_data is not None:
                mounts.append(Mount(task.reference_data, "/app/input/ref"))
        if not is_scoring or (kind == "ingestion" and task.ingestion_only_during_scoring):
            place = "/app/ingested_program" if kind == "ingestion" else "/app/program"
            hidden, variables = _hiding(settings, folder)
            mounts += hidden
            env |= variables | ({"PODIUM_SUBMISSION": place} if hidden else {})
        try:
            text = metadata.substitute(
                found.command,
                kind=kind,
                is_scoring=is_scoring,
                ingestion_only_during_scoring=task.ingestion_only_during_scoring,
            )
            argv = metadata.split(text, settings.era)
            if not argv:
                raise ValueError("the command is empty")
        except ValueError as error:
            job.refusals[kind] = f"the command {found.command!r} cannot be split into words ({error})"
            continue
        commands[kind] = Command(kind, argv, tuple(mounts), folder / "containers", env=env)
    executions = run_together(settings.engine, list(commands.values()), settings.limits, tick=tick)
    job.executions = dict(zip(commands, executions, strict=True))
    for kind, execution in job.executions.items():
        job.logs.append(Log(step, kind, "stdout", _log(execution.stdout)))
        job.logs.append(Log(step, kind, "stderr", _log(execution.stderr)))
    return job


def transfer(output: Path) -> list[str]:
    """Remove from `output` what a zip and its unpacking would not carry as it is (links, pipes, sockets); returns their names.

    The submission made these entries: nothing here follows a link or opens anything.
    """
    removed = []
    queue = [output]
    while queue:
        for entry in list(queue.pop().iterdir()):
            if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
                entry.unlink()
                removed.append(str(entry.relative_to(output)))
            elif entry.is_dir():
                entry.chmod(0o755)
                queue.append(entry)
            else:
                entry.chmod(0o644)
    return sorted(removed)


def push_output(job: Job) -> Failure | None:
    """What the worker does with a job's output at its end: it adds its own file `metadata`, a reserved name."""
    job.removed = transfer(job.output)
    reserved = job.output / "metadata"
    if reserved.exists():
        return diagnose.reserved_metadata(job.step)
    program, ingestion = job.executions.get("program"), job.executions.get("ingestion")
    status = {
        "exitCode": program.exit_code if program else None,
        "elapsedTime": (program or ingestion).seconds if program or ingestion else None,
        "ingestionExitCode": ingestion.exit_code if ingestion else None,
        "ingestionElapsedTime": ingestion.seconds if ingestion else None,
    }
    reserved.write_text(yaml.safe_dump(status, default_flow_style=False))
    return None


def rehearse(settings: Settings, competition: Competition, task: Task, submission: Path, work: Path, tick) -> Outcome:
    """Both jobs of one task with an unpacked submission."""
    outcome = Outcome()
    only_scoring = task.ingestion_only_during_scoring
    prediction = run_job(
        settings,
        work / "prediction",
        step="prediction",
        program=submission,
        ingestion=None if only_scoring else task.ingestion_program,
        task=task,
        ingested=submission,
        tick=tick,
    )
    outcome.logs += prediction.logs
    outcome.seconds["prediction"] = prediction.seconds
    outcome.peak_mib = prediction.peak_mib
    reports.add_timing(prediction.output, outcome)
    if failure := diagnose.stopped(prediction, settings):
        return outcome.fail(failure)
    cause = diagnose.prediction_cause(prediction, settings, submission, task.input_data)
    if failure := push_output(prediction):
        return outcome.fail(cause or failure)
    scoring = run_job(
        settings,
        work / "scoring",
        step="scoring",
        program=task.scoring_program,
        ingestion=task.ingestion_program if only_scoring else None,
        task=task,
        ingested=prediction.output,
        result=prediction.output,
    )
    outcome.logs += scoring.logs
    outcome.seconds["scoring"] = scoring.seconds
    if failure := diagnose.stopped(scoring, settings):
        return outcome.fail(diagnose.because(cause, failure))
    transfer(scoring.output)
    problem = diagnose.scoring_cause(scoring, settings.era)
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
    outcome.findings += diagnose.ignored(prediction, cause)
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
    interpreter: Path | None = None,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    output_limit: float = 4096,
    era: str = "2026-03",
    phase: int = 0,
    environment: ServerEnvironment | None = None,
    tick: Callable[[], None] | None = None,
) -> Outcome:
    """Rehearse the zip at `zip_path` with the competition bundle (folder or zip); all files go to the new folder `work`.

    `time_limit` is in seconds a job, by default the phase's own; `memory_limit` and `output_limit` are in MiB a container. `engine` is
    one of sandbox.ENGINES, "auto" or an engine; `image` and `interpreter` go to it. `environment` describes the packages of the
    server. `tick` is called a few times a second while a container runs. UserError on a wrong call or a bundle that Codabench would
    refuse; whatever the zip does is in the outcome. A phase with several tasks is run task by task; the first failure stands, and
    its scores are keyed "task/column".
    """
    if era not in metadata.ERAS:
        raise UserError(f"Unknown era {era!r}; choose one of {', '.join(metadata.ERAS)}.")
    zip_path, work = Path(zip_path), Path(work)
    if not zip_path.is_file():
        raise UserError(f"There is no zip at {zip_path}.")
    work.mkdir(parents=True, exist_ok=True)
    competition = load(bundle, work)
    if not 0 <= phase < len(competition.phases):
        raise UserError(f"The bundle has {len(competition.phases)} phases; there is no phase {phase}.")
    limit = time_limit or competition.phases[phase].execution_time_limit
    if isinstance(engine, str):
        engine = engine_called(engine, image=image or competition.docker_image, interpreter=interpreter)
    settings = Settings(engine, era, Limits(limit, memory_limit, output_limit), environment)
    total = Outcome(
        engine=engine.name,
        era=era,
        time_limit=limit,
        memory_limit=memory_limit,
        not_isolated=tuple(engine.not_isolated),
    )
    submission = work / "submission"
    if refusal := unpack(zip_path, submission):
        return total.fail(diagnose.upload(refusal, era))
    tasks = competition.phases[phase].tasks
    for index in tasks:
        task = competition.tasks[index]
        outcome = rehearse(settings, competition, task, submission, work / f"task-{index}", tick)
        _add(total, outcome, prefix=f"{task.name}/" if len(tasks) > 1 else "")
        if outcome.status == "failed":
            break
    return total


def _add(total: Outcome, outcome: Outcome, prefix: str) -> None:
    """Merge the outcome of one task into the whole."""
    if outcome.status == "failed":
        total.fail(Failure(outcome.step, outcome.reason, outcome.server_shows, outcome.remedy))
    total.scores |= {prefix + key: value for key, value in outcome.scores.items()}
    total.predictions |= outcome.predictions
    total.images |= outcome.images
    total.condition_seconds |= outcome.condition_seconds
    for step, seconds in outcome.seconds.items():
        total.seconds[step] = max(seconds, total.seconds.get(step, 0.0))
    if outcome.peak_mib is not None:
        total.peak_mib = max(outcome.peak_mib, total.peak_mib or 0.0)
    total.logs += outcome.logs
    total.findings += outcome.findings
    total.detailed_results = outcome.detailed_results or total.detailed_results
