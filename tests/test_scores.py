"""Scores as the worker reads them and as the site would store them."""

import bundles
import pytest

from build.score import scores

COLUMNS = ("accuracy", "duration")


def read(folder, files, columns=COLUMNS, primary="accuracy"):
    return scores.read(bundles.write(folder, files), columns, primary)


def test_json_comes_before_text(tmp_path):
    found, failure, findings = read(tmp_path / "o", {"scores.json": '{"accuracy": 1}', "scores.txt": "accuracy: 0"})
    assert (found, failure, findings) == ({"accuracy": 1.0}, None, [])


def test_text_is_read_where_there_is_no_json(tmp_path):
    found, failure, _ = read(tmp_path / "o", {"scores.txt": "accuracy: 0.25\nduration: 3\n"})
    assert (found, failure) == ({"accuracy": 0.25, "duration": 3.0}, None)


def test_broken_json_is_not_saved_by_a_good_text(tmp_path):
    _, failure, _ = read(tmp_path / "o", {"scores.json": "{accuracy: 1}", "scores.txt": "accuracy: 1"})
    assert "not valid JSON" in failure.reason
    assert "Could not decode scores json properly" in failure.server_shows


@pytest.mark.parametrize(
    ("files", "reason", "shows"),
    [
        ({}, "left neither scores.json nor scores.txt", "Could not find scores file"),
        ({"scores.json/inner": "a folder"}, "left neither", "Could not find scores file"),
        ({"scores.json": ""}, "not valid JSON", "Could not decode"),
        ({"scores.json": b"\xff"}, "not valid JSON", "Could not decode"),
        ({"scores.json": "[" * 100_000}, "not valid JSON", "Could not decode"),
        ({"scores.json": "[1, 2]"}, "The scores are a list, not a mapping", "no score appears"),
        ({"scores.txt": "0.5"}, "The scores are a float, not a mapping", "no score appears"),
        ({"scores.txt": "{"}, "scores.txt is not valid YAML", "no score appears"),
        ({"scores.txt": "accuracy: !!python/name:os.system"}, "not valid YAML", "no score appears"),
        ({"scores.json": '{"accuracy": NaN}'}, "The score 'accuracy' is nan, which the worker cannot send", "no score"),
        ({"scores.json": '{"accuracy": -Infinity}'}, "is -inf", "no score appears"),
        ({"scores.txt": "accuracy: .nan"}, "is nan", "no score appears"),
        ({"scores.json": '{"accuracy": "half"}'}, "is 'half', not a number", "no score appears"),
        ({"scores.json": '{"accuracy": "NaN"}'}, "is 'NaN', not a number", "no score appears"),
        ({"scores.json": '{"accuracy": "1e11"}'}, "is 1e11; the site stores numbers below 1e10", "no score"),
        ({"scores.json": '{"accuracy": {"test": 1}}'}, "not a number", "no score appears"),
        ({"scores.json": '{"accuracy": 1e10}'}, "is 10000000000.0; the site stores numbers below 1e10", "no score"),
        ({"scores.json": '{"accuracy": -1' + "0" * 400 + "}"}, "below 1e10", "no score appears"),
        ({"scores.json": '{"accuracy": 1' + "0" * 9000 + "}"}, "not valid JSON", "Could not decode"),
        ({"scores.json": "{}"}, "None of the scores (no keys) is a column (accuracy, duration)", "stays empty"),
        ({"scores.json": '{"Accuracy": 1}'}, "None of the scores (Accuracy) is a column", "stays empty"),
    ],
)
def test_what_cannot_be_stored_is_a_failure_in_the_servers_words(files, reason, shows, tmp_path):
    found, failure, _ = read(tmp_path / "o", files)
    assert found == {}
    assert failure.step == "scores"
    assert reason in failure.reason
    assert shows in failure.server_shows
    assert failure.remedy


def test_unknown_keys_are_dropped_and_named(tmp_path):
    found, failure, findings = read(tmp_path / "o", {"scores.json": '{"accuracy": 1, "f2": 1, "auc": 1}'})
    assert (found, failure) == ({"accuracy": 1.0}, None)
    assert [finding.rule for finding in findings] == ["dropped-scores"]
    assert "auc, f2" in findings[0].message


def test_what_is_no_column_may_be_anything_that_can_be_sent(tmp_path):
    text = '{"accuracy": 0.9, "note": "hello", "times": [1, 2], "big": 1e300}'
    found, failure, findings = read(tmp_path / "o", {"scores.json": text})
    assert (found, failure) == ({"accuracy": 0.9}, None)
    assert "big, note, times" in findings[0].message
    for value in ("NaN", "[1, Infinity]"):
        _, failure, _ = read(tmp_path / "o", {"scores.json": f'{{"accuracy": 0.9, "note": {value}}}'})
        assert "which the worker cannot send" in failure.reason


@pytest.mark.parametrize(
    ("file", "text", "stored"),
    [
        ("scores.json", '{"accuracy": "0.9123"}', 0.9123),
        ("scores.json", '{"accuracy": true}', 1.0),
        ("scores.txt", "accuracy: 5e-05", 5e-05),  # a text to YAML 1.1
    ],
)
def test_what_the_site_takes_for_a_number_is_one(file, text, stored, tmp_path):
    assert read(tmp_path / "o", {file: text})[:2] == ({"accuracy": stored}, None)


def test_a_missing_primary_column_is_a_warning(tmp_path):
    found, failure, findings = read(tmp_path / "o", {"scores.json": '{"duration": 1}'})
    assert (found, failure) == ({"duration": 1.0}, None)
    assert [(finding.rule, finding.severity) for finding in findings] == [("no-primary-score", "warning")]


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text('{"accuracy": 1}')
    output = bundles.write(tmp_path / "o", {})
    (output / "scores.json").symlink_to(tmp_path / "secret")
    (output / "detailed_results.html").symlink_to(tmp_path / "secret")
    assert "left neither" in scores.read(output, COLUMNS, "accuracy")[1].reason
    assert scores.detailed_results(output) == ""


def test_detailed_results_come_before_other_pages(tmp_path):
    pages = {"a.html": "first", "detailed_results.html": "wanted", "sub/c.html": "deeper"}
    assert scores.detailed_results(bundles.write(tmp_path / "o", pages)) == "wanted"
    del pages["detailed_results.html"]
    assert scores.detailed_results(bundles.write(tmp_path / "o", pages)) == "first"
    del pages["a.html"]
    assert scores.detailed_results(bundles.write(tmp_path / "o", pages)) == ""
