"""One job of a Codabench worker: its folders, its one or two containers side by side, and what it does with their output."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from build.score import diagnose, metadata, reports
from build.score.competition import Task
from build.score.environment import ServerEnvironment
from build.score.outcome import Failure, Log
from build.score.sandbox import Command, Engine, Execution, Limits, Mount, run_together
from build.score.sandbox.launch import discard

SERVER_ENVIRONMENT = Path(__file__).parent / "programs" / "server_environment"
MOST_DEPTH = 15
"""Folders within one another that an output may have: names of 255 bytes stay below the system's 4096 a path."""
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
    crash: str = ""
    """What of a metadata file the worker stumbles over without a word."""
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
    names = {"present": sorted(settings.environment.present), "absent": sorted(settings.environment.absent)}
    reports.write_json(hide / "present.json", names)
    return [Mount(hide, "/app/.server")], {"PYTHONPATH": "/app/.server"}


@contextlib.contextmanager
def own_copy(submission: Path, folder: Path) -> Iterator[Path]:
    """A copy of the unpacked submission in the new `folder`, for one job, as the server unpacks one for each: it may write there."""
    shutil.copytree(submission, folder)
    try:
        yield folder
    finally:
        discard(folder)


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
        elif found.action == "crash":
            job.crash = f"the file {found.file} of the {kind} ({found.message})"
        elif found.action == "run":
            wanted[kind] = (directory, found)
    output.mkdir(exist_ok=True)
    commands: dict[str, Command] = {}
    for kind, (directory, found) in wanted.items():
        mounts = [
            # The worker mounts the submission, here a copy of it, so that a program may write beside itself.
            Mount(directory, "/app/program", writable=kind == "program" and not is_scoring),
            Mount(output, "/app/output", writable=True),
            Mount(empty, "/app/data"),
        ]
        # The second is ours: compiled modules beside the submission are no writing of its own, and a bundle's folders are the user's.
        env = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if kind == "ingestion" and ingested is not None:
            mounts.append(Mount(ingested, "/app/ingested_program", writable=not is_scoring))
        if task.input_data is not None and (not is_scoring or task.ingestion_only_during_scoring):
            mounts.append(Mount(task.input_data, "/app/input_data"))
        if is_scoring:
            shared = folder / "shared"
            shared.mkdir(exist_ok=True)
            mounts += [Mount(shared, "/app/shared", writable=True), Mount(result, "/app/input/res")]
            if task.reference_data is not None:
                mounts.append(Mount(task.reference_data, "/app/input/ref"))
        if kind == "program" or not is_scoring or task.ingestion_only_during_scoring:
            # A scoring program that predicts by itself finds the submission in the prediction step's output.
            own = "/app/input/res" if is_scoring else "/app/program"
            place = "/app/ingested_program" if kind == "ingestion" else own
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
    job.removed = transfer(output)
    job.executions = dict(zip(commands, executions, strict=True))
    for kind, execution in job.executions.items():
        job.logs.append(Log(step, kind, "stdout", _log(execution.stdout)))
        job.logs.append(Log(step, kind, "stderr", _log(execution.stderr)))
    return job


def transfer(output: Path) -> list[str]:
    """Remove from `output` what a zip and its unpacking would not carry as it is (links, pipes, sockets); returns their names.

    The submission made these entries: nothing here follows a link or opens anything. Folders deeper than MOST_DEPTH go too: their
    paths may be longer than the system takes. What is left can be read by the judge, whatever its permissions were.
    """
    removed = []
    output.chmod(0o755)
    queue = [output]
    while queue:
        for entry in list(queue.pop().iterdir()):
            if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
                entry.unlink()
                removed.append(str(entry.relative_to(output)))
            elif entry.is_dir():
                if len(entry.relative_to(output).parts) > MOST_DEPTH:
                    discard(entry)
                    removed.append(f"{entry.relative_to(output).parts[0]}/... (over {MOST_DEPTH} folders deep)")
                    continue
                entry.chmod(0o755)
                queue.append(entry)
            else:
                entry.chmod(0o644)
    return sorted(removed)


def push_output(job: Job) -> Failure | None:
    """What the worker does with a job's output at its end: it adds its own file `metadata`, a reserved name."""
    # The worker makes no output where it copies nothing and runs nothing.
    if not job.copied and not job.executions and job.step == "prediction":
        return diagnose.nothing_delivered()
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
