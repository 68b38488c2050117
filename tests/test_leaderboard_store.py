"""The store of judged submissions: concurrent writers, killed writers, damaged lines, records, predictions."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import judged
import numpy as np
import pytest

from build.errors import UserError
from build.files import sha256
from build.score.leaderboard import ranking
from build.score.leaderboard.lines import decode, encode
from build.score.leaderboard.store import Store
from build.score.outcome import Outcome
from build.score.scorecard import assemble

ROOT = Path(__file__).resolve().parent.parent
WRITER = """
import json, sys, types
import numpy as np
from build.score.leaderboard.store import Store
from build.score.scorecard import assemble
folder, letter, count, card = sys.argv[1:]
store, card = Store(folder), json.loads(card)
card["submission"]["zip_sha256"] = letter * 8
labels = np.zeros(30, int)
asked = [types.SimpleNamespace(key="held-out.none.0", definition="d", labels=labels, rows=np.arange(30))]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(count)):
    name = store.add(card, asked, {"held-out.none.0": labels})
    store.record(name, 0.5)
    print(name, flush=True)
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen:
    asked = judged.conditions({"held-out": ("none",)}, images=30)
    card = json.dumps(judged.card(asked, judged.answers(asked, 0.8)))
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count), card]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def add(store: Store, **changes) -> str:
    asked = judged.conditions()
    given = judged.answers(asked, 0.8)
    return store.add(judged.card(asked, given, **changes), asked, given)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "board")


def test_an_entry_keeps_what_identifies_it_and_its_scores(store):
    name = add(store, run="run-7")
    (entry,) = store.entries()
    assert entry.id == name == "abababab"
    facts = entry.facts
    assert (facts["team"], facts["file"], facts["run"], facts["commit"]) == ("us", "submission.zip", "run-7", "0123abc")
    assert facts["zip_sha256"] == "ab" * 32
    assert facts["weights_sha256"] == "cd" * 32
    assert facts["recipe"] == "podium"
    assert facts["status"] == "Finished"
    assert set(entry.suites) == {"held-out", "basic", "stacked"}
    assert facts["scores"]["basic"]["low"] < entry.suites["basic"] < facts["scores"]["basic"]["high"]
    assert entry.when.utcoffset().total_seconds() == 0


def test_a_failed_judgement_is_an_entry_too(store):
    store.add(judged.card([], {}, outcome={"status": "failed", "reason": "It fell over."}))
    (entry,) = store.entries()
    assert (entry.facts["status"], entry.facts["reason"], entry.suites) == ("Failed", "It fell over.", {})
    assert not store.has_predictions(entry.id)


def test_the_same_zip_twice_is_two_entries(store):
    assert [add(store), add(store), add(store)] == ["abababab", "abababab-2", "abababab-3"]


def test_what_the_server_said_is_kept_by_phase_and_the_last_word_counts(store):
    name = add(store)
    assert store.record("abab", 0.8) == name
    store.record(name, 0.87)
    store.record(name, 0.85, phase="final")
    (entry,) = store.entries()
    assert entry.server == {"dev": 0.87, "final": 0.85}
    assert store.pairs() == [(entry.suites, 0.85)]
    assert entry.recorded["dev"] < entry.recorded["final"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing", 0.5, "dev"), "no entry 'nothing'.*the latest are: abababab"),
        (("abab", 87, "dev"), "share from 0 to 1, got 87"),
        (("abab", float("nan"), "dev"), "share from 0 to 1"),
        (("abab", 0.5, "test"), "no phase 'test'; choose among dev, final"),
        (("submission", 0.5, "dev"), "Several entries begin with 'submission'"),
    ],
)
def test_a_wrong_record_is_one_sentence_and_leaves_the_file_alone(store, arguments, sentence):
    add(store)
    add(store, zip_sha256="cd" * 32)
    before = store.path.read_bytes()
    with pytest.raises(UserError, match=sentence):
        store.record(*arguments[:2], phase=arguments[2])
    assert store.path.read_bytes() == before


def test_entries_are_found_by_the_beginning_of_id_file_or_run(store):
    first, second = add(store, run="run-7", file="a.zip"), add(store, run="run-8", file="b.zip")
    assert [store.find(name).id for name in ("a.zip", "run-8", "abababab-2", "abababab")] == [
        *(first, second),
        *(second, first),
    ]
    assert store.find("run-").id == second  # one zip, judged again
    kept = store.path.parent / "previous-submission.zip"  # packaging calls each of them submission.zip first
    kept.write_bytes(b"PK")
    add(store, zip_sha256=sha256(kept), run="run-9")
    assert store.find(str(kept)).facts["run"] == "run-9"


@pytest.mark.parametrize("kind", ["cut", "turned", "garbage", "not an object", "NaN"])
def test_a_damaged_line_is_passed_over_then_set_aside_and_nothing_else_is_lost(store, capsys, kind):
    names = [add(store) for _ in range(3)]
    lines = store.path.read_bytes().splitlines(keepends=True)
    damaged = {
        "cut": lines[1][:-40] + b"\n",
        "turned": lines[1].replace(b'"us"', b'"we"'),
        "garbage": b"\x00\xff\xfe\n",
        "not an object": b"[1, 2]\n",
        "NaN": b'{"check": "0", "kind": NaN}\n',
    }[kind]
    store.path.write_bytes(lines[0] + damaged + lines[2])
    reader = Store(store.folder)
    assert [entry.id for entry in reader.entries()] == [names[0], names[2]]
    assert len(reader.entries()) == 2
    said = capsys.readouterr().err
    assert said.count("1 damaged line(s) passed over") == 1
    fourth = add(reader)
    assert "1 damaged line(s), of a killed writer or a bad disk, moved to" in capsys.readouterr().err
    assert reader.damaged_path.read_bytes() == damaged
    assert [entry.id for entry in reader.entries()] == [names[0], names[2], fourth]
    assert capsys.readouterr().err == ""


def test_a_writer_killed_in_mid_line_leaves_a_line_that_does_not_join_the_next(store):
    first = add(store)
    with store.path.open("ab") as file:
        file.write(encode({"kind": "entry", "id": "half"})[:25])  # no newline: the process died here
    second = add(store)
    assert [entry.id for entry in store.entries()] == [first, second]
    assert store.damaged_path.read_bytes().startswith(b'{"check"')


def test_a_writer_killed_before_its_last_byte_leaves_a_line_that_does_not_join_the_next(store):
    first = add(store)
    store.path.write_bytes(store.path.read_bytes()[:-1])
    second = add(store)
    assert [entry.id for entry in store.entries()] == [first, second]
    assert not store.damaged_path.exists()


def test_the_run_of_a_zip_is_known_by_its_bytes(store):
    add(store, zip_sha256="a" * 64, run="r1 + r2")
    add(store, zip_sha256="b" * 64, run="r3")
    add(store, zip_sha256="b" * 64, run=None)  # judged again by `score`, which knows no run
    assert store.runs_of("a" * 64) == "r1 + r2"
    assert store.runs_of("b" * 64) == "r3"
    assert store.runs_of("c" * 64) is None


def test_a_store_that_cannot_be_locked_is_one_sentence(tmp_path):
    (tmp_path / "board" / "lock").mkdir(parents=True)
    with pytest.raises(UserError, match="board/lock cannot be written"), Store(tmp_path / "board").locked():
        pass


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    folder, count = tmp_path / "board", 10
    writers = [writer(folder, "a", count) for _ in range(3)]  # one zip: who looks for a free id must be alone
    for process in writers:
        go(process)
    said = [process.communicate(timeout=120)[0].split() for process in writers]
    store = Store(folder)
    entries = store.entries()
    assert sorted(entry.id for entry in entries) == sorted(name for names in said for name in names)
    assert len({entry.id for entry in entries}) == 3 * count
    assert all(entry.server == {"dev": 0.5} for entry in entries)
    assert all(len(store.predictions(entry.id).row) == 30 for entry in entries)
    assert not store.damaged_path.exists()


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_had_said(tmp_path):
    folder, chance = tmp_path / "board", random.Random(3)
    promised: list[str] = []
    steady = writer(folder, "5", 15)
    victims = [writer(folder, letter, 10_000) for letter in "789"]
    go(steady)
    for process in victims:
        go(process)
        time.sleep(chance.uniform(0.05, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        promised += process.communicate()[0].split("\n")[:-1]
    promised += steady.communicate(timeout=120)[0].split()
    store = Store(folder)
    last = add(store)
    known = [entry.id for entry in store.entries()]
    assert set(promised) <= set(known)
    assert known[-1] == last
    for name in promised:
        assert len(store.predictions(name).row) == 30
    assert all(decode(line) for line in store.path.read_bytes().splitlines())


def test_predictions_come_back_as_they_were_and_damage_is_one_sentence(store):
    asked = judged.conditions()
    given = judged.answers(asked, 0.7)
    name = store.add(judged.card(asked, given), asked, given)
    kept = store.predictions(name)
    assert kept.keys == tuple(one.key for one in asked)
    assert kept.definitions == tuple(one.definition for one in asked)
    for index, one in enumerate(asked):
        mine = kept.condition == index
        assert np.array_equal(kept.row[mine], one.rows)
        assert np.array_equal(kept.label[mine], one.labels)
        assert np.array_equal(kept.called[mine], given[one.key])
    path = store.predictions_path(name)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:200] + bytes(50) + whole[250:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            store.predictions(name)
    path.unlink()
    with pytest.raises(UserError, match="no stored answers"):
        store.predictions(name)


def test_entries_of_another_competition_are_passed_over(store, monkeypatch):
    add(store)
    assert len(store.entries()) == 1
    monkeypatch.setattr("build.score.leaderboard.store.COMPETITION", "screws")
    assert store.entries() == []
    asked = judged.conditions()
    given = judged.answers(asked, 0.8)
    store.add(judged.card(asked, given) | {"competition": "screws"}, asked, given)
    assert [entry.facts["competition"] for entry in store.entries()] == ["screws"]


def test_an_empty_store_has_no_entries_and_says_how_to_add_one(store):
    assert store.entries() == store.pairs() == store.actions("dev") == []
    with pytest.raises(UserError, match="none yet"):
        store.find("x")


def test_a_line_is_one_json_object_with_its_checksum():
    line = encode({"kind": "entry", "n": 0.1, "text": "µ\n"})
    assert line.count(b"\n") == 1
    assert decode(line) == {"kind": "entry", "n": 0.1, "text": "µ\n"}
    body = json.loads(line)
    assert decode(json.dumps({**body, "n": 0.2}).encode()) is None
    assert decode(b"[" * 100_000) is None


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_nobody_s(tmp_path, name):
    store = judged.filled(Store(tmp_path / "board"))
    with pytest.raises(UserError, match="got an empty one"):
        store.record(name, 0.5)


def test_another_competition_has_no_forecast_and_none_of_the_public_scores(tmp_path, monkeypatch):
    store = judged.filled(Store(tmp_path / "board"))
    monkeypatch.setattr(ranking, "COMPETITION", "leaves")
    board = ranking.build(store)
    assert {line.kind for line in board.lines} == {"none", "recorded", "failed"}
    assert "forecast" not in {line.kind for line in ranking.build(store, phase="final").lines}
    asked = judged.conditions()
    given = judged.answers(asked, 0.9)
    about = {"classes": judged.CLASSES, "outcome": Outcome(), "submission": {}, "seed": 0}
    assert assemble(asked, given, **about, competition="leaves")["forecast"] is None
    assert assemble(asked, given, **about, competition="blood-cells")["forecast"]


def test_a_zip_made_anew_is_not_taken_for_the_entry_of_its_name(tmp_path):
    zip_path = tmp_path / "mine.zip"
    zip_path.write_bytes(b"judged")
    store = Store(tmp_path / "board")
    name = store.add(judged.card([], {}, file=str(zip_path), zip_sha256=hashlib.sha256(b"judged").hexdigest()))
    assert store.find(str(zip_path)).id == name
    zip_path.write_bytes(b"made anew")
    with pytest.raises(UserError, match=r"as it is now, was not judged yet"):
        store.record(str(zip_path), 0.87)
    assert store.record(name, 0.87) == name
