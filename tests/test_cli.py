"""The command line: help everywhere, one sentence and exit code 2 for a user's mistake, the exit codes of the judge."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from submissions import good, model, small_bundle, source

from build import cli
from build.errors import UserError
from build.score.leaderboard.store import Store

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", cli.app.commands)
def test_every_command_explains_itself(command, capsys):
    assert cli.main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"python -m build {command}" in said
    assert len(said) > 300


def test_the_list_of_commands_cuts_no_sentence_short(capsys):
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out.partition("Commands:")[2]
    assert "..." not in said
    assert all(command.short_help in said for command in cli.app.commands.values())


def test_help_answers_without_the_framework():
    code = (
        "import sys; from build.cli import main; main(['train', '--help']);"
        "print(sorted({'keras', 'tensorflow', 'cv2', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--data", "missing.npz"], "missing.npz"),
        (["train", "--recipe", "nonsense"], "There is no recipe named 'nonsense'"),
        (["train", "--epochs", "0"], "--epochs"),
        (["train", "--set", "crop"], "Expected NAME=VALUE, such as crop=0.7, got 'crop'"),
        (["train", "--set", "sharpness=2"], "--set names sharpness, which is no field of a recipe"),
        (["train", "--set", "lr=fast"], "learning_rate is a number, got 'fast'"),
        (["train", "--set", "epochs=3", "--epochs", "2"], "--set epochs and --epochs say the same thing"),
        (["train", "--set", "teachers=a", "--teacher", "b"], "--set teachers and --teacher say the same thing"),
        (["train", "--resume", "nowhere"], "Found no run 'nowhere'"),
        (["train", "--resume", ""], "Found no run ''"),
        (["train", "--weights", ""], "--weights wants auto, none, imagenet, drawn or a file, got nothing"),
        (["package", "--suites", " "], "Expected names after --suites, such as A,B, got ' '"),
        (["compress", "--methods", ","], "Expected names after --methods, such as A,B, got ','"),
        (["train", "--seed", str(2**64)], "--seed"),
        (["package"], "There is no run yet"),
        (["package", "--engine", "magic"], "--engine"),
        (["score", "missing.zip"], "There is no zip at missing.zip"),
        (["score"], "Missing argument"),
        (["leaderboard", "--record", "abc", "0.5"], "There is no entry 'abc'"),
        (["leaderboard", "--record", "abc", "high"], "a score from 0 to 1, got 'high'"),
        (["leaderboard", "--rule", "Best"], "'Best' is not one of 'Add'"),
        (["score", "x.zip", "--time-limit", "inf"], "inf is not in the range"),
        (["score", "x.zip", "--memory-limit", "1e300"], "is not in the range"),
        (["score", "x.zip", "--memory-limit", "nan"], "nan is not a finite number"),
        (["package", "--time-limit", "nan"], "nan is not a finite number"),
        (["train", "--minutes", "inf"], "inf is not a finite number"),
        (["compress", "--budget", "nan"], "nan is not a finite number"),
        (["sweep", "--memory", "inf"], "inf is not a finite number"),
        (["sweep", "--search-seed", "5000"], "5000 is not in the range 0<=x<=4000"),
        (["sweep", "--recipes", "smoke", "--seeds", "3", "--pack", "3"], "this sweep has 1 of each"),
        (["inspect", "--data", "missing"], "missing"),
        (["bundle", "--data", "synthetic:200", "--out", f"{__file__}/bundle"], "a file is where a folder should be"),
        (["cam", "--out", f"{__file__}/cam.png"], "cannot be written"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_user_s_mistake_is_one_sentence_and_exit_code_2(arguments, says, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert says in said.replace("\n", " ")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "says"), [(("--start", "9999-12-31"), "after the year 9999"), (("--title", ""), "needs a title")]
)
def test_what_no_bundle_can_have_is_told_before_cells_are_read(option, says, monkeypatch, capsys):
    monkeypatch.setattr("build.score.held_out.of_data", lambda *_: pytest.fail("cells were read"))
    assert cli.main(["bundle", "--data", "synthetic:200", *option]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_bad_file_of_images_is_one_sentence(capsys):
    np.savez("bad.npz", images=np.zeros((20, 50, 50, 3), np.uint8), labels=np.zeros(20, np.int64))
    assert cli.main(["train", "--data", "bad.npz"]) == 2
    assert "(20, 50, 50, 3)" in capsys.readouterr().err.replace("\n", " ")
    assert not Path("runs").exists()


def test_score_is_0_for_a_zip_that_would_score(capsys, tmp_path):
    zip_path = good(tmp_path / "s.zip")
    assert cli.main(["score", str(zip_path), "--bundle", str(small_bundle(tmp_path)), "--json"]) == 0
    out, said = capsys.readouterr()
    verdict = json.loads(out)
    assert verdict["exit_code"] == 0
    assert verdict["outcome"]["scores"]["accuracy"] == pytest.approx(7 / 12)
    assert said.strip().splitlines()[-1].startswith("It would score: accuracy 0.5833")


def test_score_is_1_for_a_zip_that_would_fail_with_the_reason_as_the_last_line(capsys, tmp_path):
    zip_path = source(model("return X"))(tmp_path / "s.zip")
    assert cli.main(["score", str(zip_path), "--bundle", str(small_bundle(tmp_path))]) == 1
    said = capsys.readouterr().err
    assert said.strip().splitlines()[-1].startswith("It would fail: ")


def test_score_judges_on_the_test_cells_of_a_source_and_the_leaderboard_learns_of_it(capsys, tmp_path):
    zip_path = good(tmp_path / "mine.zip")
    arguments = ["score", str(zip_path), "--data", "synthetic:160", "--suites", "basic", "--rows", "8", "--no-probes"]
    assert cli.main(arguments) == 0
    assert (
        json.loads(Path("dist/judged/mine/scorecard.json").read_text())["suites"]["basic"]["n"] == 30 * 10
    )  # every class at least once
    entry = Store().entries()[0]
    assert cli.main(["leaderboard", "--record", entry.id[:4], "0.42"]) == 0
    assert "0.42" in capsys.readouterr().out
    assert "mine.zip" in Path("dist/leaderboard.html").read_text()
    assert cli.main(["score", str(zip_path), "--bundle", "b", "--data", "synthetic"]) == 2


def test_the_page_of_a_zip_named_by_dots_stays_below_dist_judged(monkeypatch, capsys, tmp_path):
    def told(path: Path) -> None:
        raise UserError(str(path))

    monkeypatch.setattr("build.score.command.check_writable", told)
    assert cli.main(["score", str(good(tmp_path / "...zip")), "--data", "synthetic:160"]) == 2
    assert "dist/judged/...zip/scorecard.json" in capsys.readouterr().err


def test_a_competition_bundle_is_accepted_by_the_unpacker_s_rules(capsys, tmp_path, monkeypatch):
    from build.score.competition import load

    monkeypatch.setattr("build.score.suites.run_process", lambda *_: "keras_cv's operations have tests of their own")
    asked = ("--data", "synthetic:320", "--rows", "8", "--out", "b.zip", "--start", "2026-01-05")
    more = ("--image", "lab/keras:3", "--time-limit", "90", "--per-day", "2", "--total", "9", "--rule", "Add")
    assert cli.main(["bundle", *asked, *more, "--final-days", "1"]) == 0
    out, said = capsys.readouterr()
    assert out.strip() == "b.zip"
    assert "publish only the rows that b-split.csv calls train or validation" in " ".join(said.split())
    assert load(Path("b.zip"), tmp_path / "scratch").findings == ()
    with zipfile.ZipFile("b.zip") as archive:
        development, final = (
            {image.tobytes() for image in np.load(io.BytesIO(archive.read(f"input_data_{phase}/held-out.none.0.npy")))}
            for phase in ("development", "final")
        )
        values = yaml.safe_load(archive.read("competition.yaml"))
    assert len(development) > 10 < len(final)
    assert not development & final
    with Path("b-split.csv").open() as file:
        hidden = [row for row in csv.DictReader(file) if row["side"] == "test"]
    assert len(hidden) == len(development) + len(final)
    assert values["docker_image"] == "lab/keras:3"
    assert values["leaderboards"][0]["submission_rule"] == "Add"
    for phase in values["phases"]:
        quotas = ("max_submissions_per_day", "max_submissions", "execution_time_limit")
        assert [phase[name] for name in quotas] == [2, 9, 90]
    assert values["phases"][1]["start"] == "2026-01-19 00:00:01"
    assert values["phases"][1]["end"] == "2026-01-20 00:00:00"


def test_inspect_asks_for_a_backend_only_where_it_looks_with_a_network(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    monkeypatch.setattr("build.inspection.embedding.version", lambda: "1.0")

    def prepare(*_, **__):
        raise UserError("The data was read.")

    monkeypatch.setattr("build.data.prepare.prepare", prepare)
    assert cli.main(["inspect"]) == 2
    assert "The data was read" not in capsys.readouterr().err
    assert cli.main(["inspect", "--quick"]) == 2
    assert "The data was read" in capsys.readouterr().err


def test_the_seed_of_the_leaderboard_promises_no_split(capsys):
    assert cli.main(["leaderboard", "--help"]) == 0
    assert "Seed of the random numbers behind chances and intervals" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--phase", "1"], "--phase is of a competition bundle"),
        (["--bundle", "b", "--hidden", "9", "--no-probes"], "leave out --hidden, --probes with --bundle"),
        (["--bundle", "b", "--data", "synthetic"], "leave out --data with --bundle"),
    ],
)
def test_options_of_score_that_would_have_no_effect_are_refused(capsys, arguments, named):
    Path("a.zip").touch()
    assert cli.main(["score", "a.zip", *arguments]) == 2
    assert named in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("chosen", "code"), [(None, 1), (object(), 0)])
def test_compress_ends_with_0_where_one_is_chosen_and_takes_what_is_given(monkeypatch, chosen, code):
    given = {}
    monkeypatch.setattr("build.compress.command.compress", lambda run, **more: given.update(more, run=run) or chosen)
    assert cli.main(["compress", "r", "--methods", "int8,,tfmot", "--size-limit", "0", "--steps", "7"]) == code
    assert given.pop("rows") > 0
    assert given == {"run": "r", "methods": ("int8", "tfmot"), "size_limit_mb": 0, "budget": None, "steps": 7}


def test_soup_and_pretrain_take_what_is_given(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(
        "build.train.soup.soup", lambda runs, **more: given.append((runs, more)) or SimpleNamespace(folder="runs/s")
    )
    assert cli.main(["soup", "a", "b", "--greedy"]) == 0
    assert capsys.readouterr().out.strip() == "runs/s"
    monkeypatch.setattr("build.pretrain.distill.pretrain", lambda **more: given.append(more))
    assert cli.main(["pretrain", "--size", "nano", "--images", "9", "--batch", "8", "--seed", "3"]) == 0
    assert given == [
        (("a", "b"), {"greedy": True}),
        {"size": "nano", "images": 9, "batch": 8, "seed": 3, "weights": "none"},
    ]
