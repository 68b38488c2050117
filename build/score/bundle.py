"""Writes Codabench bundles: one to score a zip at home, one to hold a competition with a development and a final phase.

Both carry the same ingestion and scoring programs (build/score/programs), so the score at home is made by what a server would run.
"""

import contextlib
import datetime
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from build.errors import UserError
from build.files import explained, make_folder, write_zip
from build.score.bundle_data import Condition, divide, write_data
from build.score.bundle_pages import pages
from build.score.environment import ServerEnvironment
from build.score.metrics import METRICS, Metric
from build.score.unpacker.leaderboards import LONGEST
from build.score.unpacker.phases import DEFAULT_TIME_LIMIT
from build.scratch import scratch_folder

PROGRAMS = Path(__file__).parent / "programs"
SHARED = {
    "ingestion_program": ("podium_labels.py", "podium_loading.py"),
    "scoring_program": ("podium_labels.py",),
    "probe_program": ("podium_labels.py", "podium_loading.py"),
}
"""Modules that a program folder gets beside its own files; named so that they hide no module of a submission in the same process."""
PRECISION = 4
FINAL_DAYS = 2
"""Days that the final phase lasts."""


def write_program(name: str, folder: Path) -> Path:
    """Put the program `name` with the modules it shares into `folder` (made anew)."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROGRAMS / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for shared in SHARED[name]:
        shutil.copy(PROGRAMS / shared, folder / shared)
    return folder


def _columns(suites: Sequence[str]) -> list[dict]:
    """Leaderboard columns: the metrics, and an accuracy for each suite where there are several."""
    entries = METRICS | {f"accuracy_{suite}": Metric(f"Accuracy: {suite}", True) for suite in suites if len(suites) > 1}
    for key, metric in entries.items():
        if len(key) > LONGEST or len(metric.title) > LONGEST:
            raise UserError(f"The suite name in {key!r} is too long: a column's name may have {LONGEST} characters.")
    return [
        {
            "key": key,
            "title": metric.title,
            "index": index,
            "sorting": "desc" if metric.higher_is_better else "asc",
            "precision": PRECISION,
        }
        for index, (key, metric) in enumerate(entries.items())
    ]


def _write_yaml(folder: Path, values: Mapping) -> None:
    (folder / "competition.yaml").write_text(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def scoring_bundle(
    conditions: Sequence[Condition],
    folder: Path,
    *,
    working_directory: str = "program",
    job_images: int | None = None,
    one_call: bool = False,
) -> Path:
    """Write a bundle of one phase that scores a zip on `conditions` into `folder` (made anew); returns it.

    Image files are linked where the file system allows. `working_directory` is the ingestion's (ServerEnvironment). The judge has a
    zip predict at most `job_images` in one job (None: all), with `one_call` in one call. UserError without conditions or with a suite
    name too long for a column.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    columns = _columns(list(dict.fromkeys(condition.suite for condition in conditions)))
    write_data(
        divide(conditions, job_images),
        folder / "input_data",
        folder / "reference_data",
        working_directory=working_directory,
        one_call=one_call,
    )
    for name in ("ingestion_program", "scoring_program"):
        write_program(name, folder / name)
    shape = np.load(conditions[0].images_path, mmap_mode="r").shape[1:]
    task = {
        "index": 0,
        "name": "suites",
        **{kind: f"{kind}/" for kind in ("scoring_program", "ingestion_program", "input_data", "reference_data")},
    }
    values = {
        "version": 2,
        **pages(folder, "Podium suites", shape),
        "docker_image": ServerEnvironment.read().image,
        "enable_detailed_results": True,
        "tasks": [task],
        "phases": [
            {
                "index": 0,
                "name": "Suites",
                "start": "2024-11-08 00:00:00",
                "execution_time_limit": DEFAULT_TIME_LIMIT,
                "tasks": [0],
            }
        ],
        "leaderboards": [{"title": "Results", "key": "main", "submission_rule": "Force_Last", "columns": columns}],
    }
    _write_yaml(folder, values)
    return folder


def _dates(start: datetime.date, days: int, final_days: int) -> tuple[dict[str, str], dict[str, str]]:
    """Start and end of both phases as competition.yaml has them; UserError beyond the calendar."""
    try:
        middle = start + datetime.timedelta(days=days)
        end = middle + datetime.timedelta(days=final_days)
    except OverflowError as error:
        raise UserError(
            f"The phases would end after the year {datetime.MAXYEAR}, {days} and {final_days} days from {start} on; "
            "begin earlier or take fewer days."
        ) from error
    # The next phase starts a second after the last one ends: the unpacker wants them apart. Quoted dates keep their time.
    return (
        {"start": f"{start} 00:00:00", "end": f"{middle} 00:00:00"},
        {"start": f"{middle} 00:00:01", "end": f"{end} 00:00:00"},
    )


def check_asked(target: Path, *, title: str, start: datetime.date, days: int, final_days: int = FINAL_DAYS) -> None:
    """UserError where `write_competition` would refuse these, so that it is known before images are made."""
    if days < 1 or final_days < 1:
        raise UserError(f"Phases last at least one day, got {days} and {final_days}.")
    if not title.strip():
        raise UserError("A competition needs a title, got an empty one; Codabench refuses a bundle without.")
    _dates(start, days, final_days)
    _check_target(target)


def _check_target(target: Path) -> None:
    """UserError where writing a bundle to `target` would remove what somebody keeps there, drafts of its pages that were edited too."""
    if target.is_dir() and target.suffix != ".zip" and not any(target.iterdir()):
        return
    held = []
    if target.suffix == ".zip" and target.is_file():
        with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(target) as archive:
            held = archive.namelist()
    if target.exists() and "competition.yaml" not in held:
        raise UserError(
            f"{target} holds something already, and a bundle replaces only a zip that is one; name a new folder, an empty one or a new "
            ".zip file."
        )


def write_competition(
    target: Path,
    *,
    development: Sequence[Condition],
    final: Sequence[Condition],
    start: datetime.date,
    days: int = 14,
    final_days: int = FINAL_DAYS,
    title: str = "Blood cells",
    time_limit: int = DEFAULT_TIME_LIMIT,
    submissions_per_day: int = 5,
    submissions: int = 100,
    submission_rule: str = "Force_Best",
    image: str = "",
) -> Path:
    """Write a competition that Codabench can import, with a development and a final phase; returns `target`.

    A `target` that ends in .zip becomes a zip with the same bytes for the same arguments, any other a folder. The phases
    run `days` from midnight UTC of `start` and then `final_days`. `image` is the docker image of the workers. UserError where `target`
    is a folder that holds something or a file that is no zip of a bundle, on an empty title and on dates beyond the calendar.
    """
    target = Path(target)
    check_asked(target, title=title, start=start, days=days, final_days=final_days)
    dates = _dates(start, days, final_days)
    make_folder(target.parent)
    # Beside the target and under a name of its own: another process may write one too, and an earlier bundle stays until this is whole.
    with scratch_folder(target.parent, ".bundling-") as folder:
        suites = list(dict.fromkeys(condition.suite for condition in (*development, *final)))
        for name in ("ingestion_program", "scoring_program"):
            write_program(name, folder / name)
        tasks = []
        for index, (name, conditions) in enumerate((("development", development), ("final", final))):
            data = {kind: f"{kind}_{name}/" for kind in ("input_data", "reference_data")}
            write_data(
                divide(conditions, None),
                folder / data["input_data"],
                folder / data["reference_data"],
                working_directory="program",
            )
            programs = {kind: f"{kind}/" for kind in ("ingestion_program", "scoring_program")}
            tasks.append({"index": index, "name": name, "description": f"The {name} set.", **programs, **data})
        quotas = {
            "max_submissions_per_day": submissions_per_day,
            "max_submissions": submissions,
            "execution_time_limit": int(time_limit),
        }
        phases = [
            {"index": index, "name": name, "description": f"{name} phase", **dates[index], **quotas, "tasks": [index]}
            for index, name in enumerate(("Development", "Final"))
        ]
        shape = np.load(development[0].images_path, mmap_mode="r").shape[1:]
        values = {
            "version": 2,
            **pages(folder, title, shape),
            "docker_image": image or ServerEnvironment.read().image,
            "registration_auto_approve": False,
            "enable_detailed_results": True,
            "tasks": tasks,
            "phases": phases,
            "leaderboards": [
                {
                    "title": "Results",
                    "key": "main",
                    "submission_rule": submission_rule,
                    "primary_index": 0,
                    "columns": _columns(suites),
                }
            ],
        }
        _write_yaml(folder, values)
        if target.suffix == ".zip":
            write_zip(folder, target)
        else:
            folder.chmod(0o755)
            with explained(target, "written"):
                folder.replace(target)
    return target
