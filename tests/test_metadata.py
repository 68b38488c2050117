"""metadata.yaml as the worker reads it: what runs, what is copied, what is refused, and which words the command becomes."""

import bundles
import pytest

from build.score.metadata import read, split, substitute

MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 20)}]}}\n" for i in range(9))
"""Some 20 ** 9 merges in a thousand characters."""


@pytest.mark.parametrize(
    ("files", "as_program", "as_ingestion"),
    [
        ({}, "copy", "refuse"),
        ({"model.py": ""}, "copy", "refuse"),
        ({"metadata": ""}, "skip", "refuse"),
        ({"metadata.yaml": ""}, "skip", "refuse"),
        ({"metadata": "command: python x.py"}, "run", "run"),
        ({"metadata.yaml": "command: python x.py"}, "run", "run"),
        ({"metadata.yaml": "description: no command"}, "skip", "refuse"),
        ({"metadata.yaml": "command:"}, "skip", "refuse"),
        ({"metadata.yaml": "- a list"}, "skip", "refuse"),
        ({"metadata.yaml": "just text"}, "skip", "refuse"),
        ({"metadata.yaml": "{broken: ["}, "skip", "refuse"),
        ({"metadata.yaml": b"\xff\xfe\x00"}, "crash", "crash"),
        ({"metadata.yaml": "command: [python, x.py]"}, "crash", "crash"),
        ({"metadata.yaml": "command: 5"}, "crash", "crash"),
        ({"metadata.yaml": "command: 0"}, "skip", "refuse"),
        ({"metadata.yaml": "[" * 50_000}, "crash", "crash"),
        ({"metadata.yaml": MERGES}, "crash", "crash"),
        ({"metadata.yaml": "- " * 20_000}, "crash", "crash"),
        ({"metadata.yaml": "date: 2024-02-30"}, "crash", "crash"),
        ({"metadata/inner.txt": "a folder of that name"}, "crash", "crash"),
        ({"inner/metadata.yaml": "command: python x.py"}, "copy", "refuse"),
    ],
)
def test_each_kind_of_metadata_has_its_action(files, as_program, as_ingestion, tmp_path):
    folder = bundles.write(tmp_path / "program", files)
    assert read(folder, "program").action == as_program
    assert read(folder, "ingestion").action == as_ingestion


def test_a_program_that_the_job_lacks_is_skipped(tmp_path):
    for kind in ("program", "ingestion"):
        assert read(None, kind).action == "skip"
        assert read(tmp_path / "absent", kind).action == "skip"


def test_metadata_yaml_comes_before_metadata(tmp_path):
    folder = bundles.write(tmp_path / "both", {"metadata": "command: second", "metadata.yaml": "command: first"})
    assert read(folder, "program").command == "first"
    # An empty metadata.yaml is found first, too, and hides the other.
    folder = bundles.write(tmp_path / "hidden", {"metadata": "command: second", "metadata.yaml": ""})
    assert read(folder, "program").action == "skip"


def test_refusals_are_in_the_workers_words(tmp_path):
    folder = bundles.write(tmp_path / "none", {"x.py": ""})
    assert read(folder, "ingestion").message == "Program directory missing 'metadata.yaml/metadata'"
    folder = bundles.write(tmp_path / "empty", {"metadata": ""})
    assert "missing 'command' in metadata" in read(folder, "ingestion").message


def test_yaml_tags_are_not_executed(tmp_path):
    bad = f"command: !!python/object/apply:os.system ['touch {tmp_path}/ran']"
    folder = bundles.write(tmp_path / "program", {"metadata.yaml": bad})
    assert read(folder, "program").action == "skip"
    assert not (tmp_path / "ran").exists()


def test_the_documented_command_becomes_the_documented_words():
    # codabench: src/apps/competitions/tests/test_legacy_command_replacement.py
    command = "python $ingestion_program/ingestion.py $input $output $ingestion_program $submission_program"
    expected = "python /app/program/ingestion.py /app/input_data /app/output /app/program /app/ingested_program"
    assert substitute(command, kind="ingestion", is_scoring=False) == expected


@pytest.mark.parametrize(
    ("variable", "kind", "scoring", "only_scoring", "path"),
    [
        ("$input", "ingestion", False, False, "/app/input_data"),
        ("$input", "program", True, False, "/app/input"),
        ("$input", "ingestion", True, True, "/app/input_data"),
        ("$output", "program", True, False, "/app/output"),
        ("$program", "program", True, False, "/app/program"),
        ("$program", "ingestion", False, True, "/app/program"),
        ("$program", "program", True, True, "/app/ingestion_program"),
        ("$ingestion_program", "ingestion", False, False, "/app/program"),
        ("$hidden", "program", True, False, "/app/input/ref"),
        ("$shared", "program", True, False, "/app/shared"),
        ("$submission_program", "ingestion", False, False, "/app/ingested_program"),
        ("$tmp", "program", True, False, "/app/output"),
        ("$predictions", "program", True, False, "/app/input/res"),
        ("$predictions", "ingestion", False, False, "/app/output"),
        # Replaced by plain text, in the order of the worker: what starts with another variable's name is cut apart.
        ("$input_data", "ingestion", False, False, "/app/input_data_data"),
        ("$input_data", "program", True, False, "/app/input_data"),
        ("$program_files", "program", True, False, "/app/program_files"),
        ("$ingested_program", "ingestion", False, False, "$ingested_program"),
        ("$HOME", "program", True, False, "$HOME"),
    ],
)
def test_each_variable_becomes_its_path(variable, kind, scoring, only_scoring, path):
    found = substitute(variable, kind=kind, is_scoring=scoring, ingestion_only_during_scoring=only_scoring)
    assert found == path


def test_there_is_no_shell_in_either_era():
    command = "python a.py && rm * | cat > $HOME"
    words = ("python", "a.py", "&&", "rm", "*", "|", "cat", ">", "$HOME")
    assert split(command, "2024-11") == words
    assert split(command, "2026-03") == words


def test_quotes_and_double_spaces_work_in_the_newer_worker_only():
    command = "python a.py  'two words'"
    assert split(command, "2024-11") == ("python", "a.py", "", "'two", "words'")
    assert split(command, "2026-03") == ("python", "a.py", "two words")


def test_an_open_quote_is_an_error_in_the_newer_worker_only():
    assert split("python 'a.py", "2024-11") == ("python", "'a.py")
    with pytest.raises(ValueError, match="closing"):
        split("python 'a.py", "2026-03")
