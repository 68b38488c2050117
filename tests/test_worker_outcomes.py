"""What becomes of a rehearsal: which exit codes count in which era, limits, scores, pages, what the server would have shown."""

import datetime
import json
import time

import bundles
import pytest
from test_worker import log, rehearse

from build.processes import last_line
from build.score.environment import ServerEnvironment
from build.score.job import SHOWN_LOG
from build.score.worker import run

ERAS = ("2024-11", "2026-03")
CRASH = {"model.py": "class Model:\n    def predict(self, X):\n        raise RuntimeError('no such luck')\n"}
WRITE = "json.dump({'accuracy': 0.5}, open(os.path.join(output, 'scores.json'), 'w'))\n"


@pytest.mark.parametrize("era", ERAS)
def test_a_crash_while_predicting_shows_up_in_the_scoring_step_and_is_traced_back(era, tmp_path):
    outcome = rehearse(tmp_path, CRASH, era=era)
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "no such luck" in outcome.reason
    assert "RuntimeError: no such luck" in log(outcome, "prediction", "ingestion", "stderr")
    # The worker went on: the scoring program ran and found nothing.
    assert "No such file" in log(outcome, "scoring", "program", "stderr")
    words = {"2024-11": "Could not find scores file", "2026-03": "Child task failed or non-zero return code"}
    assert words[era] in outcome.server_shows


@pytest.mark.parametrize("era", ERAS)
def test_a_crash_while_predicting_is_ignored_where_the_scoring_program_finds_scores(era, tmp_path):
    outcome = rehearse(tmp_path, CRASH, programs={"scoring_program": bundles.scores(WRITE)}, era=era)
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 0.5})
    assert [finding.rule for finding in outcome.findings] == ["ignored-failure"]
    assert "no such luck" in outcome.findings[0].message


def test_a_killed_prediction_is_told_as_that(tmp_path):
    killed = CRASH["model.py"].replace("raise RuntimeError('no such luck')", "import os; os.kill(os.getpid(), 9)")
    outcome = rehearse(tmp_path, {"model.py": killed})
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "was killed from outside, most likely because this machine's memory ran out" in outcome.reason
    assert "small batches" in outcome.remedy


def test_the_exit_code_of_the_scoring_program_counts_in_the_newer_worker_only(tmp_path):
    programs = {"scoring_program": bundles.scores(WRITE + "print('late trouble', file=sys.stderr)\nsys.exit(3)")}
    outcome = rehearse(tmp_path / "new", programs=programs, era="2026-03")
    assert (outcome.status, outcome.step, outcome.scores) == ("failed", "scoring", {})
    assert "exit code 3: late trouble" in outcome.reason
    outcome = rehearse(tmp_path / "old", programs=programs, era="2024-11")
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 0.5})


def test_a_scoring_program_without_scores_fails_in_both_eras(tmp_path):
    programs = {"scoring_program": bundles.scores("pass")}
    for era in ERAS:
        outcome = rehearse(tmp_path / era, programs=programs, era=era)
        assert (outcome.status, outcome.step) == ("failed", "scores")
        assert "neither scores.json nor scores.txt" in outcome.reason
        assert "Could not find scores file" in outcome.server_shows


def test_the_exit_code_of_a_submissions_own_command_is_ignored_and_said(tmp_path):
    files = {"model.py": bundles.MODEL, "metadata": "command: python3 bad.py", "bad.py": "import sys; sys.exit(5)"}
    outcome = rehearse(tmp_path, files)
    assert outcome.scores == {"accuracy": 1.0}
    assert "own command ended with exit code 5" in outcome.findings[0].message


def test_scores_of_unknown_columns_are_dropped_and_text_is_read(tmp_path):
    text = "open(os.path.join(output, 'scores.txt'), 'w').write('accuracy: 0.25\\nf2: 1\\n')"
    outcome = rehearse(tmp_path, programs={"scoring_program": bundles.scores(text)})
    assert outcome.scores == {"accuracy": 0.25}
    assert [finding.rule for finding in outcome.findings] == ["dropped-scores"]


def test_nan_reaches_nobody(tmp_path):
    programs = {"scoring_program": bundles.scores(WRITE.replace("0.5", "float('nan')"))}
    outcome = rehearse(tmp_path, programs=programs)
    assert (outcome.status, outcome.step, outcome.scores) == ("failed", "scores", {})
    assert "is nan" in outcome.reason


def test_detailed_results_are_kept_where_the_competition_enables_them(tmp_path):
    page = "open(os.path.join(output, 'detailed_results.html'), 'w').write('<b>page</b>')\n"
    programs = {"scoring_program": bundles.scores(WRITE + page)}
    assert rehearse(tmp_path / "on", programs=programs, enable_detailed_results=True).detailed_results == "<b>page</b>"
    assert rehearse(tmp_path / "off", programs=programs).detailed_results == ""


def test_each_job_has_the_whole_time_limit(tmp_path):
    nap = "import time; time.sleep(3.2)\n"
    programs = {
        "ingestion_program": bundles.ingestion(nap + bundles.INGESTION),
        "scoring_program": bundles.scoring(nap + bundles.SCORING),
    }
    outcome = rehearse(tmp_path, programs=programs, time_limit=6)
    assert outcome.status == "scored", outcome.reason
    assert outcome.seconds["prediction"] + outcome.seconds["scoring"] > 6


def test_after_a_failed_prediction_the_server_shows_what_became_of_the_scoring_step(tmp_path):
    crash = {"model.py": "raise ValueError('no such luck')"}
    outcome = rehearse(tmp_path, crash, programs={"scoring_program": bundles.scores("pass")}, era="2026-03")
    assert outcome.status == "failed"
    assert "The prediction step ends as if all were well" in outcome.server_shows
    assert "Could not find scores file" in outcome.server_shows


def test_a_scoring_program_that_ends_well_has_not_failed_whatever_lies_in_its_output(tmp_path):
    stray = "json.dump({'sentence': 'It fell over.'}, open(os.path.join(output, 'failure.json'), 'w'))\n"
    outcome = rehearse(tmp_path, programs={"scoring_program": bundles.scores(WRITE + stray)}, era="2026-03")
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 0.5})


def test_what_is_odd_about_a_bundle_is_told_with_the_rehearsal(tmp_path):
    phase = bundles.values()["phases"][0] | {"start": datetime.datetime(2024, 11, 8, 13, 30)}
    outcome = rehearse(tmp_path, phases=[phase])
    assert "unquoted-date" in {finding.rule for finding in outcome.findings}


@pytest.mark.parametrize("step", ["prediction", "scoring"])
def test_a_job_over_its_time_is_killed_and_fails(step, tmp_path):
    nap = "import time; time.sleep(60)\n"
    programs = {
        "prediction": {"ingestion_program": bundles.ingestion(nap)},
        "scoring": {"scoring_program": bundles.scoring(nap)},
    }
    phase = bundles.values()["phases"][0] | {"execution_time_limit": 4}
    began = time.monotonic()
    outcome = rehearse(tmp_path, programs=programs[step], phases=[phase])
    assert time.monotonic() - began < 30
    assert (outcome.status, outcome.step, outcome.time_limit) == ("failed", step, 4.0)
    assert f"The {step} step took longer than its limit of 4 s" in outcome.reason
    assert "Execution Time Limit exceeded. Limit was 4 seconds" in outcome.server_shows


def test_too_much_memory_and_too_much_output_are_failures_with_their_limit(tmp_path):
    fills = "        self.a = bytearray(b'x') * (400 << 20)\n        import time; time.sleep(10)\n"
    hungry = {"model.py": f"class Model:\n    def predict(self, X):\n{fills}"}
    outcome = rehearse(tmp_path / "memory", hungry, memory_limit=100)
    assert (outcome.status, outcome.step, outcome.memory_limit) == ("failed", "prediction", 100)
    assert "more than 100 MiB of memory" in outcome.reason
    writes = "\nfor i in range(9): open(os.path.join(output, str(i)), 'w').write('x' * (1 << 20))\n"
    programs = {"ingestion_program": bundles.ingestion(bundles.INGESTION + writes)}
    outcome = rehearse(tmp_path / "output", programs=programs, output_limit=5)
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "wrote more than 5 MiB" in outcome.reason


@pytest.mark.parametrize("era", ERAS)
def test_an_ingestion_program_without_metadata_is_refused_by_the_worker(era, tmp_path):
    outcome = rehearse(tmp_path, programs={"ingestion_program": {"ingestion.py": bundles.INGESTION}}, era=era)
    assert outcome.status == "failed"
    if era == "2024-11":
        assert "Program directory missing 'metadata.yaml/metadata'" in outcome.reason
        assert {one.step for one in outcome.logs} == set()
    else:  # the newer worker goes on to the scoring step, which finds nothing
        assert log(outcome, "scoring", "program", "stderr")


def test_a_scoring_program_without_metadata_is_copied_and_scores_nothing(tmp_path):
    outcome = rehearse(tmp_path, programs={"scoring_program": {"scoring.py": bundles.SCORING}})
    assert (outcome.status, outcome.step) == ("failed", "scores")
    assert (tmp_path / "work" / "task-0" / "scoring" / "output" / "scoring.py").exists()


def test_a_command_that_cannot_be_split_is_a_failure(tmp_path):
    outcome = rehearse(tmp_path, programs={"scoring_program": bundles.program("", "python3 'scoring.py", "scoring.py")})
    assert (outcome.status, outcome.step) == ("failed", "scoring")
    assert "cannot be split into words" in outcome.reason


def test_a_command_that_does_not_exist_is_a_failure(tmp_path):
    for engine in ("auto", "plain"):
        for kind, step in (("scoring_program", "scoring"), ("ingestion_program", "prediction")):
            programs = {kind: bundles.program("", "Rscript it.R", "it.R")}
            outcome = rehearse(tmp_path / engine / kind, programs=programs, engine=engine)
            assert (outcome.status, outcome.step) == ("failed", step)
            assert "Rscript" in outcome.reason


@pytest.mark.parametrize("era", ERAS)
def test_an_archive_that_cannot_be_unpacked_fails_before_anything_runs(era, tmp_path):
    bundle = bundles.bundle(tmp_path / "bundle")
    (tmp_path / "s.zip").write_bytes(b"no zip at all")
    outcome = run(tmp_path / "s.zip", bundle, work=tmp_path / "work", era=era)
    assert (outcome.status, outcome.step, outcome.logs) == ("failed", "upload", [])
    assert "not a readable zip archive" in outcome.reason
    assert ("Bad or empty zip file" in outcome.server_shows) == (era == "2026-03")


def test_links_and_pipes_do_not_reach_the_scoring_step(tmp_path):
    odd = """
os.symlink("/etc/hostname", os.path.join(output, "link"))
os.mkfifo(os.path.join(output, "pipe"))
os.mkdir(os.path.join(output, "locked"), 0o000)
"""
    listing = "\nprint(sorted(os.listdir(os.path.join(data, 'res'))))\n"
    programs = {
        "ingestion_program": bundles.ingestion(bundles.INGESTION + odd),
        "scoring_program": bundles.scoring(bundles.SCORING + listing),
    }
    outcome = rehearse(tmp_path, {"model.py": bundles.MODEL, "metadata": ""}, programs=programs)
    assert outcome.scores == {"accuracy": 1.0}
    assert log(outcome, "scoring", "program").splitlines()[-1] == "['locked', 'metadata', 'said.txt']"
    assert [finding.rule for finding in outcome.findings] == ["special-files"]
    assert "link, pipe" in outcome.findings[0].message


def test_folders_of_any_depth_and_permission_do_not_break_the_judge(tmp_path):
    deep = """
import tempfile
def dig(folder):
    os.chdir(folder)
    for _ in range(1200):
        os.mkdir("deep")
        os.chdir("deep")
dig(output)
dig(tempfile.gettempdir())
os.chmod(tempfile.gettempdir(), 0)
os.chmod(output, 0)
"""
    ingestion = bundles.ingestion(bundles.INGESTION + deep)
    outcome = rehearse(tmp_path, {"model.py": bundles.MODEL, "metadata": ""}, programs={"ingestion_program": ingestion})
    assert outcome.scores == {"accuracy": 1.0}, outcome.reason
    assert "deep/... (over 15 folders deep)" in outcome.findings[0].message
    assert max(len(path.relative_to(tmp_path).parts) for path in tmp_path.rglob("*")) < 40


def test_a_package_that_the_server_lacks_is_missing_for_the_submission_only(tmp_path):
    server = ServerEnvironment("tiny", "", (3, 12), certain={"numpy": ""}, assumed={}, absent={"yaml": "Do without."})
    files = {"model.py": "import json, own, yaml\n" + bundles.MODEL, "own.py": ""}
    programs = {"scoring_program": bundles.scoring("import yaml\n" + bundles.SCORING)}
    outcome = rehearse(tmp_path / "with", files, programs=programs, environment=server)
    assert outcome.status == "failed"
    assert last_line(log(outcome, "prediction", "ingestion", "stderr")) == "ModuleNotFoundError: No module named 'yaml'"
    assert rehearse(tmp_path / "without", files, programs=programs).status == "scored"
    files["model.py"] = "import json, own\n" + bundles.MODEL
    programs["ingestion_program"] = bundles.ingestion("import yaml\n" + bundles.INGESTION)
    assert rehearse(tmp_path / "good", files, programs=programs, environment=server).status == "scored"


def test_a_long_log_loses_its_middle(tmp_path):
    talk = "print('first')\nprint('x' * 1_000_000)\nprint('last')\n"
    outcome = rehearse(tmp_path, programs={"ingestion_program": bundles.ingestion(bundles.INGESTION + talk)})
    text = log(outcome, "prediction", "ingestion")
    assert len(text) < SHOWN_LOG + 100
    assert "first" in text
    assert "bytes left out" in text
    assert text.endswith("last\n")


def test_an_outcome_is_plain_json(tmp_path):
    values = json.loads(json.dumps(rehearse(tmp_path, CRASH).to_dict()))
    assert (values["status"], values["engine"] in ("bwrap", "plain"), values["era"]) == ("failed", True, "2026-03")
    for key in ("step", "reason", "server_shows", "remedy"):
        assert values[key]


def test_a_program_of_the_bundle_that_lacks_a_package_here_says_nothing_of_the_zip(tmp_path):
    outcome = rehearse(tmp_path, programs={"scoring_program": bundles.scoring("import frobnicate\n")})
    assert outcome.reason.endswith("No module named 'frobnicate'")
    assert outcome.remedy.startswith("That says nothing of the zip")
