import dataclasses
import os
import re
import time
from pathlib import Path

import pytest
from broken import Broken
from broken_predictions import KINDS
from submissions import cells, model, source

from build.score import sandbox
from build.score.environment import ServerEnvironment
from build.score.judge import judge

SERVER = ServerEnvironment.read()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return cells(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def isolates() -> bool:
    return sandbox.engine("auto").name == "bwrap"


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def judged(kind: Broken, folder: Path, images, engine: str = "auto"):
    return judge(
        kind.write(folder / "submission.zip"),
        [images],
        scratch=folder / "scratch",
        engine=kind.engine or engine,
        time_limit=kind.time_limit,
        memory_limit=kind.memory_limit,
        output_limit=kind.output_limit,
        environment=SERVER,
        probes=kind.probes,
    )


def check(kind: Broken, verdict) -> None:
    told = [f"{finding.severity} {finding.rule}: {finding.message}" for finding in verdict.findings]
    outcome = verdict.outcome
    assert outcome.step == kind.step, (outcome.reason, told)
    assert verdict.exit_code == (1 if kind.step else 0)
    if kind.rule:
        assert kind.rule in {finding.rule for finding in verdict.findings}, told
    if kind.step:
        assert matches(kind.says, outcome.reason), outcome.reason
        assert outcome.server_shows
        assert outcome.remedy
    elif kind.says:
        assert [f for f in verdict.findings if f.rule == kind.rule and matches(kind.says, f.message)], told
    else:
        assert not [f for f in verdict.findings if f.severity != "note"], told


@pytest.mark.parametrize("name", KINDS)
def test_of_each_kind_the_judge_names_the_step_and_says_the_sentence(name, tmp_path, images, isolates):
    kind = KINDS[name]
    if kind.engine == "bwrap" and not isolates:
        pytest.skip("bubblewrap does not work here")
    check(kind, judged(kind, tmp_path, images))
    assert not list((tmp_path / "scratch").iterdir())
    assert [path.name for path in tmp_path.iterdir() if path.name != "scratch"] == ["submission.zip"]


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_relative_weights_fail_where_the_ingestion_stays_in_its_own_folder(engine, tmp_path, images):
    strict = dataclasses.replace(SERVER, working_directory="program")
    zip_path = KINDS["relative weights"].write(tmp_path / "s.zip")
    verdict = judge(zip_path, [images], scratch=tmp_path / "scratch", engine=engine, environment=strict, probes=False)
    assert verdict.outcome.reason == (
        "model.py, line 5, opens 'weights.npy' relative to the working directory, which is not the submission's folder."
    )
    assert [f.severity for f in verdict.findings if f.rule == "relative-path"] == ["error"]


def test_the_probes_find_what_depends_on_the_working_directory(tmp_path, images):
    kind = dataclasses.replace(KINDS["relative weights"], probes=True)
    verdict = judged(kind, tmp_path, images)
    assert verdict.exit_code == 0
    assert "fails-folder" in {finding.rule for finding in verdict.findings}


@pytest.mark.parametrize("name", ["weights missing", "absent package", "imports build", "reserved name", "memory hog"])
def test_a_plain_process_is_judged_by_the_same_sentence(name, tmp_path, images):
    kind = dataclasses.replace(KINDS[name], engine="plain")
    verdict = judged(kind, tmp_path, images)
    check(kind, verdict)
    assert verdict.outcome.engine == "plain"


def test_a_path_that_only_this_machine_has_fails_in_a_plain_process_too(tmp_path, images):
    """It is there, so the run goes well."""
    kind = Broken(source(model(init=f"open({os.__file__!r}).close()")), "environment", "*is a path of another machine.")
    verdict = judged(dataclasses.replace(kind, engine="plain"), tmp_path, images)
    assert verdict.exit_code == 1
    assert "is a path of another machine" in verdict.outcome.reason


def test_a_plain_process_that_kills_its_supervisor_is_told(tmp_path, images):
    says = "The process that watches over the submission was killed, most likely by the submission."
    kind = dataclasses.replace(KINDS["kills its parent"], engine="plain", says=says)
    check(kind, judged(kind, tmp_path, images))


DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note()
        time.sleep(60)
    os._exit(0)
os.wait()
"""
SURVIVORS = {"daemon": DAEMON, "that kills its parent": "note()\nos.kill(os.getppid(), 9)\ntime.sleep(60)"}


@pytest.mark.parametrize("name", SURVIVORS)
def test_no_process_survives(name, tmp_path, images):
    # Plain is the engine whose processes can be seen from here, and the weaker one.
    note = f"def note():\n    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    kind = Broken(source(model(init=note + SURVIVORS[name] + "\ntime.sleep(1.0)")), "", "", engine="plain")
    judged(kind, tmp_path, images)
    process = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(process)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state != b"Z"
