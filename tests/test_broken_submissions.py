import re
from pathlib import Path

import pytest

from build.score import probe
from build.score.environment import ServerEnvironment
from build.score.lint import RUN_CANNOT_SHOW, lint
from build.score.sandbox import Limits, engine
from build.score.worker import Settings, run
from tests.broken import KINDS, Broken
from tests.submissions import small_bundle

SERVER = ServerEnvironment.read()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def sandbox():
    return engine("auto")


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def judge(kind: Broken, folder: Path, bundle: Path, sandbox):
    """(step, reason, findings): as the judge does it, from lint over the run to the probes."""
    path = kind.write(folder / "submission.zip")
    findings = lint(path, SERVER)
    limits = {name: getattr(kind, name) for name in ("time_limit", "memory_limit", "output_limit")}
    outcome = run(path, bundle, work=folder / "work", engine=sandbox, environment=SERVER, **limits)
    findings += outcome.findings
    step, reason = outcome.step, outcome.reason
    if outcome.status == "scored":
        limits = Limits(kind.time_limit, kind.memory_limit, kind.output_limit)
        settings = Settings(sandbox, "2026-03", limits, SERVER)
        images = probe.sample([bundle / "input_data" / "clean.npy"], 12)
        work = folder / "probe"
        findings += probe.probe(settings, folder / "work" / "submission", images, classes=8, work=work).findings
        for finding in findings:
            if finding.severity == "error" and finding.rule in RUN_CANNOT_SHOW and not step:
                step, reason = "environment", finding.message
    return step, reason, findings


@pytest.mark.parametrize("name", KINDS)
def test_of_each_kind_the_judge_names_the_step_and_says_the_sentence(name, tmp_path, bundle, sandbox):
    kind = KINDS[name]
    if kind.engine and kind.engine != sandbox.name:
        pytest.skip(f"shows only in {kind.engine}")
    step, reason, findings = judge(kind, tmp_path, bundle, sandbox)
    told = [f"{finding.severity} {finding.rule}: {finding.message}" for finding in findings]
    assert step == kind.step, (reason, told)
    if kind.rule:
        assert kind.rule in {finding.rule for finding in findings}, told
    if kind.step:
        assert matches(kind.says, reason), reason
        assert "\n" not in reason
    elif kind.says:
        assert [f for f in findings if f.rule == kind.rule and matches(kind.says, f.message)], told
    else:
        assert not [f for f in findings if f.severity != "note"], told
