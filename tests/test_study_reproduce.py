"""A study under way: what is asked of each row, the files after every row, Ctrl-C, failures, --only."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from build import cli
from build.errors import Interrupted, UserError
from build.study import reproduce as module
from build.study.catalogue import STUDIES, find
from build.study.execute import Result, facts_of
from build.study.reproduce import reproduce

MEASURES = {
    "held_out": {"n": 9, "accuracy": 0.8, "low": 0.1, "high": 0.9, "precision": 0.5, "recall": 0.8, "f1": 0.25},
    "suites": {"stacked": {"accuracy": 0.5}, "microscopy": {"accuracy": 0.6}},
    "randaugment": 0.55,
}
LABELS = [row.label for row in find("optimizer").rows]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module.page, "plot", lambda _: b"picture")  # test_study_results.py has it drawn


class Worker:
    """Stands in for training and judging; fails or stops at the given calls."""

    def __init__(self, *, fails: tuple[int, ...] = (), stops: int | None = None):
        self.fails, self.stops, self.asked = fails, stops, []

    def __call__(self, task, *, root):
        train = task.train
        self.asked.append((task.recipe.optimizer, task.recipe.weight_decay > 0, task.seed, train))
        if len(self.asked) - 1 == self.stops:
            raise KeyboardInterrupt
        if len(self.asked) - 1 in self.fails or not train:
            return Result(
                task, "", facts_of(None), failure="It could not be downloaded." if train else "Not trained yet."
            )
        return Result(task, f"run-{len(self.asked)}", facts_of(None) | {"minutes": 1.0}, MEASURES)


def run(worker, **options) -> int:
    return reproduce("optimizer", **({"data": "synthetic:160", "scale": "small", "work": worker} | options))


def written() -> dict:
    return json.loads(Path("dist/studies/optimizer.json").read_text())


def test_every_row_is_performed_for_a_seed_before_the_next_seed():
    worker = Worker()
    assert run(worker, seeds=2, epochs=3) == 0
    rows = [("lion", True), ("adamw", True), ("adamw", False)]
    assert worker.asked == [(*row, seed, True) for seed in (0, 1) for row in rows]
    table = written()
    assert "synthetic" in table["protocol"]
    assert [line["label"] for line in table["rows"]] == LABELS
    assert [line["seeds"] for line in table["rows"]] == [2, 2, 2]
    assert {line["recipe"]["epochs"] for line in table["rows"]} == {3}
    assert {path.suffix for path in Path("dist/studies").iterdir()} == {".json", ".md", ".html", ".png"}


def test_a_file_where_the_tables_go_is_told_before_any_training(monkeypatch):
    monkeypatch.setattr(module, "read", lambda *_, **__: pytest.fail("it began"))
    Path("dist").touch()
    with pytest.raises(UserError, match="a file is where a folder should be"):
        run(Worker())


def test_where_several_rows_are_under_way_each_has_its_own_time(monkeypatch, capsys):
    now, worker = [0.0], Worker()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def two_at_once(tasks, *, begin):
        """Rows of ten minutes: the first two begin together, the third when they have ended."""
        if not tasks:  # no rows that others teach
            return
        begin(0)
        begin(1)
        now[0] += 600
        yield 0, worker(tasks[0], root=None)
        now[0] += 1
        yield 1, worker(tasks[1], root=None)
        begin(2)
        yield 2, worker(tasks[2], root=None)

    assert run(worker, carry=two_at_once) == 0
    assert "Adam, seed 0, ETA 10:00 at most" in " ".join(capsys.readouterr().err.split())


def test_a_row_that_fails_is_recorded_the_others_go_on_and_the_exit_code_is_1(capsys):
    assert run(Worker(fails=(1,))) == 1
    assert [line["failures"] for line in written()["rows"]] == [[], ["It could not be downloaded."], []]
    assert "AdamW: It could not be downloaded." in capsys.readouterr().err


def test_ctrl_c_leaves_the_table_so_far_and_says_how_to_go_on():
    with pytest.raises(Interrupted, match="the same command goes on"):
        run(Worker(stops=1))
    assert [line["seeds"] for line in written()["rows"]] == [1, 0, 0]


def test_only_the_named_rows_are_trained_and_the_others_looked_up():
    worker = Worker()
    assert run(worker, only="ADAMW") == 0
    assert [asked[-1] for asked in worker.asked] == [False, True, False]
    with pytest.raises(UserError, match=r"'sgd'.*Lion; AdamW; Adam"):
        run(worker, only="sgd")


def test_studies_without_such_a_row_keep_their_tables(monkeypatch):
    begun = []
    monkeypatch.setattr(module.UnderWay, "run", lambda study, *_: begun.append(study.study.name) or 0)
    reproduce("all", data="synthetic:160", scale="small", only="lion")
    assert begun == ["optimizer"]


class Teaching(Worker):
    """Notes who teaches whom."""

    def __call__(self, task, *, root):
        result = super().__call__(task, root=root)
        self.asked[-1] = (task.recipe.name, task.seed, task.recipe.teachers)
        return result


def test_a_taught_row_learns_from_the_run_of_its_teacher_of_the_same_seed():
    worker, (teacher, student) = Teaching(), ("report-efficientnet-lite2", "report-convnext-atto")
    options = {"data": "synthetic:160", "scale": "small", "work": worker}
    assert reproduce("distillation", seeds=2, **options) == 0
    assert worker.asked[:4] == [(name, seed, ()) for seed in (0, 1) for name in (teacher, student)]
    assert worker.asked[4:7] == [(student, 0, ("run-1",))] * 3
    assert worker.asked[7:] == [(student, 1, ("run-3",))] * 3


def test_without_its_teacher_a_row_is_not_trained():
    worker = Teaching(fails=(0,))
    assert reproduce("distillation", data="synthetic:160", scale="small", work=worker) == 1
    assert len(worker.asked) == 2
    table = json.loads(Path("dist/studies/distillation.json").read_text())
    assert [bool(line["failures"]) for line in table["rows"]] == [True, False, True, True, True]


def test_rows_that_short_trainings_cannot_show_are_left_out(capsys):
    assert reproduce("regularisation", data="synthetic:160", scale="small", work=Worker()) == 0
    labels = [line["label"] for line in json.loads(Path("dist/studies/regularisation.json").read_text())["rows"]]
    assert not [label for label in labels if "patience" in label]
    assert "patience 20: left out, it needs 30 epochs" in capsys.readouterr().err
    assert reproduce("regularisation", data="synthetic:160", scale="small", epochs=30, work=Worker()) == 0
    labels = [line["label"] for line in json.loads(Path("dist/studies/regularisation.json").read_text())["rows"]]
    assert len([label for label in labels if "patience" in label]) == 2


def test_the_command_names_every_study(capsys):
    assert cli.main(["reproduce", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{', '.join(STUDIES)}; or all" in said


def test_the_commands_own_mistakes_are_sentences(capsys, monkeypatch):
    assert cli.main(["reproduce", "--study", "nonsense"]) == 2
    assert "There is no study named 'nonsense'" in capsys.readouterr().err.replace("\n", " ")
    assert cli.main(["reproduce", "--scale", "small", "--data", "missing.npz"]) == 2
    monkeypatch.setattr(module, "read", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["reproduce", "--scale", "small"]) == 130
