"""The report of a data set: every row is counted where it went, and every reason has an example to look at."""

import numpy as np
import pytest
from cell_files import K

from build import cli
from build.data import synthetic
from build.data.cells import Cells, class_counts
from build.data.curate import curate
from build.data.prepare import Prepared
from build.data.report import reasons, summary
from build.data.split import split
from submission import contract

COUNT = 240


def prepared(images: np.ndarray, labels: np.ndarray) -> Prepared:
    cells = Cells(images, np.asarray(labels, np.int64), "test", "hash")
    curation = curate(cells)
    return Prepared(cells, curation, split(cells, curation, validation_share=0.1, test_share=0.1, seed=0))


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return synthetic.cells(range(COUNT), seed=2)


@pytest.fixture(scope="module")
def messy(drawn) -> Prepared:
    """Drawn cells, then: two copies of row 0, one copy of row 1 with another label, black, row 2 mirrored with another
    label, row 3 mirrored."""
    images, labels = drawn
    more = [images[0], images[0], images[1], np.zeros_like(images[0]), images[2][:, ::-1], images[3][:, ::-1]]
    said = [labels[0], labels[0], (labels[1] + 1) % K, 0, (labels[2] + 1) % K, labels[3]]
    return prepared(np.concatenate([images, more]), np.concatenate([labels, said]))


def test_the_summary_has_the_contracts_classes_in_order_and_a_sum(messy):
    table = summary(messy)
    assert [row.name for row in table] == [*contract.CLASSES, "all"]
    assert [sum(column) for column in [*zip(*(row[1:] for row in table[:-1]), strict=True)]] == list(table[-1][1:])


def test_the_summary_counts_every_row_where_it_went(messy):
    table = summary(messy)
    found = class_counts(messy.cells.labels)
    for index, row in enumerate(table[:-1]):
        assert row.found == found[index]
        assert row.kept == row.train + row.validation + row.test
    assert table[-1].found == COUNT + 6
    assert table[-1].kept == COUNT + 1  # 240, less the two-label picture, with the two mirrored ones
    assert table[-1].found - table[-1].kept == len(messy.curation.dropped)


def test_each_reason_is_counted_with_its_first_row_as_an_example(messy):
    table = {row.reason: row for row in reasons(messy)}
    assert {reason: row.count for reason, row in table.items()} == {
        "conflict": 1,
        "duplicate": 3,
        "foreign": 1,
        "near-duplicates kept on one side": 2,
        "near-duplicates with different labels": 1,
    }
    assert table["duplicate"].example.startswith("row 240: same pixels as row 0")
    assert table["conflict"].example.startswith("row 1: identical pictures bear different labels")
    assert table["foreign"].example.startswith("row 243: colour distance")
    assert table["near-duplicates with different labels"].example.startswith("rows 2 and 244: same frame")


def test_clean_data_has_no_reasons(drawn):
    assert reasons(prepared(*drawn)) == []


def test_inspect_shows_classes_and_reasons(tmp_path, monkeypatch, capsys, messy):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.console, "_width", 200)
    np.savez(tmp_path / "set.npz", images=messy.cells.images, labels=messy.cells.labels[:, None])
    assert cli.main(["inspect", "--data", "set.npz", "--quick"]) == 0
    said = capsys.readouterr().err
    for word in (*contract.CLASSES, "duplicate", "conflict", "foreign", "same pixels as row 0", "241"):
        assert word in said
