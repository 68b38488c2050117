"""The one door to the judge: lint -> bundle -> both jobs of the worker -> probes -> verdict.

    verdict = judge(Path("submission.zip"), conditions)
    verdict.exit_code        # 0: it would score; 1: it would fail, verdict.sentence says why

Whatever is in the zip, nothing is raised because of it: a failure is a value. UserError is for a wrong call only.
"""

import dataclasses
import errno
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from build.console import bar
from build.errors import UserError
from build.files import make_folder
from build.recipe import Recipe
from build.score import probe, reports, sandbox
from build.score.bundle import scoring_bundle
from build.score.bundle_data import divide
from build.score.competition import docker_image
from build.score.diagnose import MEMORY_REMEDY
from build.score.environment import ServerEnvironment
from build.score.lint import RUN_CANNOT_SHOW, lint
from build.score.lint.calls import PLAIN_CANNOT_SHOW
from build.score.outcome import SEVERITIES, Failure, Finding, Outcome, Verdict
from build.score.sandbox import Limits
from build.score.suites import Condition
from build.score.unpack import check_zip, unpack
from build.score.worker import Settings, run
from build.scratch import scratch_folder
from submission.contract import CLASSES

HIDDEN_IMAGES = Recipe.hidden_images
"""What a job gets at most where nobody says how many the hidden set holds: a recipe's default."""
SCRATCH = Path("data/judge")
"""Beside the cached suites, so that images are linked and not copied into a bundle."""
OF_THE_SERVER = RUN_CANNOT_SHOW | {"absent-import", "assumed-import"}
"""Rules that compare the zip with the described server: of an image that nobody described they say nothing."""
LEAST_FREE = 64 * 2**20
"""Bytes. A job that found no space left where fewer are free met this machine's disk, and not a limit of its own."""


def judge(
    zip_path: Path,
    conditions: Sequence[Condition] = (),
    *,
    bundle: Path | None = None,
    scratch: Path = SCRATCH,
    keep: Path | None = None,
    engine: str = "auto",
    image: str = "",
    time_limit: float | None = None,
    memory_limit: float | None = None,
    output_limit: float = 4096,
    era: str = "2026-03",
    phase: int = 0,
    environment: ServerEnvironment | None = None,
    probes: bool = True,
    adapts: bool = False,
    hidden: int | None = None,
    one_call: bool = True,
) -> Verdict:
    """Judge the zip at `zip_path` on `conditions`, or with the competition bundle `bundle` (then without probes).

    Args:
        zip_path: what would be uploaded.
        conditions: sets of test images (build/score/suites.py); predictions by their keys are in the outcome.
        bundle: a competition bundle, folder or zip, whose programs and data are used instead.
        scratch: where a folder for this judgement is made, and removed afterwards.
        keep: an empty or new folder for the predictions, which then outlive the judgement; else they go too.
        engine: a name of sandbox.ENGINES, or "auto"; `image` is docker's.
        time_limit: seconds a job may take, by default the bundle's, capped as the server's default queue does.
        memory_limit: MiB a container may take, by default none.
        output_limit: MiB that it may write, logs included.
        era: which worker is rehearsed, of metadata.ERAS.
        phase: number of the bundle's phase, from 0 on.
        environment: packages of the server, by default the competition's.
        probes: whether the zip is also called in the unusual ways of build/score/probe.py.
        adapts: the recipe declares that predictions depend on the other images of a call.
        hidden: images of the hidden set, where known, for a forecast of its time and memory; a zip is asked for at most so many of
            the `conditions` in one job (HIDDEN_IMAGES where not known), so that a limit meant for the hidden set holds for them.
        one_call: a job's `conditions` come as one array, mixed, as a hidden set does; else each is a call, with a time of its own.

    """
    zip_path = Path(zip_path)
    check_zip(zip_path)
    if bool(conditions) == (bundle is not None):
        raise UserError("The judge needs either test images or a competition bundle.")
    named = docker_image(bundle) if bundle is not None else ""
    described = environment is not None or bundle is None
    environment = environment or ServerEnvironment.read()
    known = described or named == environment.image
    # A bundle names its own image.
    chosen = engine if bundle is not None else sandbox.engine(engine, image=image or environment.image)
    make_folder(scratch, "work in a folder that can")
    # Absolute, because a container's start has a working directory of its own; before Python 3.12 mkdtemp keeps a relative folder.
    with scratch_folder(scratch.resolve(), "judging-") as work:
        findings = lint(zip_path, environment)
        if not known:
            findings = [one for one in findings if one.rule not in OF_THE_SERVER]
            findings.append(_unknown_image(named))
        if bundle is None:
            bundle = scoring_bundle(
                conditions,
                work / "scoring",
                working_directory=environment.working_directory,
                job_images=hidden or HIDDEN_IMAGES,
                one_call=one_call,
            )
        with _progress(conditions, work) as follow:
            outcome = run(
                zip_path,
                bundle,
                work=work / "worker",
                engine=chosen,
                image=image,
                time_limit=time_limit,
                memory_limit=memory_limit,
                output_limit=output_limit,
                era=era,
                phase=phase,
                environment=environment if known else None,
                tick=follow,
            )
        _check_disk(outcome, work)
        verdict = Verdict(outcome, findings + outcome.findings, on_suites=bool(conditions))
        if conditions:
            verdict.timing = timing_of(outcome, hidden)
            _add_lateness(verdict)
        if outcome.status == "scored" and conditions and probes:
            limits = Limits(outcome.time_limit, memory_limit, output_limit)
            _probe(verdict, Settings(chosen, era, limits, environment), zip_path, conditions, work, adapts)
            _add_memory(verdict, conditions, hidden, one_call=one_call)
        _server_only(verdict, own_image=outcome.engine == "docker" and image in ("", named or environment.image))
        verdict.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
        outcome.findings = verdict.findings  # the scorecard is made of the outcome
        if keep is not None:
            _keep(outcome, keep)
        return verdict


def _probe(verdict, settings: Settings, zip_path: Path, conditions, work: Path, adapts: bool) -> None:
    """Add what the probes find; a first call that fails there would fail on the server."""
    submission = work / "probed"
    if unpack(zip_path, submission):  # it was unpacked a moment ago
        return
    images = probe.sample([condition.images_path for condition in conditions])
    found = probe.probe(settings, submission, images, classes=len(CLASSES), work=work / "probe", adapts=adapts)
    verdict.findings += found.findings
    verdict.probed = found.recorded
    verdict.growth_bytes_per_image = found.growth_bytes_per_image
    if found.failure:
        verdict.outcome.fail(found.failure)
    errors = [finding for finding in found.findings if finding.severity == "error"]
    if errors:
        shows = "The prediction step fails; the server shows its log."
        verdict.outcome.fail(Failure("prediction", errors[0].message, shows, errors[0].remedy))
    if found.failure or errors:  # in the rehearsal itself all went well, so its log explains nothing
        verdict.outcome.logs += [dataclasses.replace(log, source=f"probe-{log.source}") for log in found.logs]


def _check_disk(outcome: Outcome, work: Path) -> None:
    """UserError where a job failed because the disk here was full: that says nothing of the zip."""
    if outcome.status == "scored":
        return
    said = " ".join((outcome.reason or "", *(log.text for log in outcome.logs)))
    full = os.strerror(errno.ENOSPC) in said and shutil.disk_usage(work).free < LEAST_FREE
    if full or os.strerror(errno.EDQUOT) in said:
        raise UserError(f"The disk of {work.parent} was full while the zip was judged; make room on it and repeat it.")


def timing_of(outcome: Outcome, hidden: int | None) -> dict:
    """Time of the prediction step for other numbers of images, from what the run measured of each condition.

    Returns seconds_per_1000, startup_seconds, largest_set (images that fit the time limit, None without a rate), and for `hidden`
    images: hidden_images, hidden_seconds, hidden_fits.
    """
    seconds, startup = outcome.condition_seconds, outcome.seconds.get("startup", 0.0)
    total, count = sum(seconds.values()), sum(outcome.images.get(key, 0) for key in seconds)
    found: dict = {"startup_seconds": startup, "seconds_per_1000": None, "largest_set": None}
    if not count:
        return found
    rate = total / count
    found["seconds_per_1000"] = 1000 * rate
    left = max(0.0, outcome.time_limit - startup)
    found["largest_set"] = math.floor(left / rate) if rate > 0 else None
    if hidden is not None:
        needed = startup + hidden * rate
        found |= {"hidden_images": hidden, "hidden_seconds": needed, "hidden_fits": needed <= outcome.time_limit}
    return found


def _add_lateness(verdict: Verdict) -> None:
    """A warning where the hidden set would take longer, at the speed seen here, than a job may."""
    timing = verdict.timing
    if timing.get("hidden_fits", True):
        return
    sentence = (
        f"The hidden set's {timing['hidden_images']:,} images would take {timing['hidden_seconds']:,.0f} s at this machine's speed, "
        f"and a job may take {verdict.outcome.time_limit:,.0f} s."
    )
    remedy = "Make predict faster; a zip of this kit that averages several views takes fewer of them in time by itself."
    verdict.findings.append(Finding("too-slow", "warning", sentence, remedy))


def _add_memory(verdict: Verdict, conditions: Sequence[Condition], hidden: int | None, *, one_call: bool) -> None:
    """Forecast the memory of the hidden set: that of the largest call here, and for each further image itself and what predict keeps."""
    limit = verdict.outcome.memory_limit
    if hidden is None or verdict.growth_bytes_per_image is None or verdict.outcome.peak_mib is None:
        return
    jobs = divide(conditions, hidden)
    largest = max(sum(map(len, job)) if one_call else max(map(len, job)) for job in jobs)
    image_bytes = np.load(conditions[0].images_path, mmap_mode="r")[0].nbytes
    further = max(0, hidden - largest) * (image_bytes + verdict.growth_bytes_per_image)
    needed = verdict.timing["hidden_mib"] = verdict.outcome.peak_mib + further / 2**20
    if limit is not None and needed > limit:
        sentence = (
            f"The hidden set's {hidden:,} images would take {needed:,.0f} MiB, and a job may take {limit:,.0f} MiB."
        )
        verdict.findings.append(Finding("too-large", "warning", sentence, MEMORY_REMEDY))


def _unknown_image(image: str) -> Finding:
    sentence = f"What the bundle's image {image} holds is not known here: the zip may import what is installed on this machine."
    remedy = "Judge in the image itself (--engine docker), or describe its packages (--environment)."
    return Finding("unknown-image", "note", sentence, remedy)


def _server_only(verdict: Verdict, *, own_image: bool) -> None:
    """Faults that only the server would show make a verdict too, though the run here went well; none where it ran in the server's image."""
    rules = frozenset() if own_image else RUN_CANNOT_SHOW
    rules |= PLAIN_CANNOT_SHOW if verdict.outcome.engine == "plain" else frozenset()
    for finding in verdict.findings:
        if finding.rule in rules and finding.severity == "error":
            shows = "The prediction step fails on import or on loading; the server shows its log."
            place = f"{finding.place}: " if finding.line else ""
            verdict.outcome.fail(Failure("environment", f"{place}{finding.message}", shows, finding.remedy))


def _keep(outcome: Outcome, folder: Path) -> None:
    """Copy predictions to `folder` and let the outcome point there."""
    target = folder / "predictions"
    target.mkdir(parents=True, exist_ok=True)
    outcome.predictions = {
        key: Path(shutil.copyfile(path, target / f"{key}.npy")) for key, path in outcome.predictions.items()
    }


@contextmanager
def _progress(conditions: Sequence[Condition], work: Path) -> Iterator[Callable[[], None]]:
    """A progress bar that follows the files, one a job, in which our ingestion program notes what is done."""
    total, shown = sum(len(condition.labels) for condition in conditions), 0.0

    def follow() -> None:
        """Called a few times a second while a container runs."""
        nonlocal shown
        done = 0.0
        for path in (work / "worker" / "task-0").glob("prediction*/output/timing.json"):
            images = reports.read_json(path).get("images")
            done += sum(filter(None, map(reports.number, images.values()))) if isinstance(images, dict) else 0
        done = min(done, total)
        advance(done - shown)
        shown = done

    with bar("judging", total or None) as advance:
        yield follow
