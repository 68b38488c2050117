"""What epochs are chosen by: within a standard error of the best score, the smallest loss."""

import numpy as np
import pytest

from build.standing import score_of, standard_error, surpasses

CELLS = 1194


def row(validation, perturbed, loss):
    """An epoch's accuracies and the sum of its two losses."""
    return {
        "validation_accuracy": validation,
        "perturbed_accuracy": perturbed,
        "score": score_of(validation, perturbed),
        "validation_loss": loss / 4,
        "perturbed_loss": 3 * loss / 4,
    }


def kept_of(rows, cells=CELLS):
    """Number of the epoch whose weights are there at the end."""
    kept = best = rows[0]
    for one in rows[1:]:
        best = max(best, one, key=lambda any_row: any_row["score"])
        kept = one if surpasses(one, kept, best, cells) else kept
    return rows.index(kept)


def test_a_score_that_chance_explains_does_not_keep_an_early_epoch():
    # A training of podium-lite: its ninth epoch had the highest score by less than an image, the last perturbed images' best loss.
    early, late = row(0.98744, 0.93132, 1.14), row(0.98744, 0.93049, 1.12)
    assert surpasses(late, early, early, CELLS)
    assert not surpasses(early, late, early, CELLS)


def test_a_loss_does_not_keep_an_epoch_of_a_lower_score():
    # An overfitted network: surer of its errors, so of a higher loss, yet right about more cells.
    modest, sure = row(0.95, 0.85, 0.8), row(0.97, 0.88, 0.9)
    assert surpasses(sure, modest, sure, CELLS)
    assert not surpasses(modest, sure, sure, CELLS)
    assert surpasses(modest, sure, sure, cells=20)  # of so few cells neither is more


def test_one_that_fell_behind_the_best_gives_way_to_whoever_is_near_it():
    error = standard_error(0.97, 0.88, CELLS)
    rows = [row(0.97 - 1.2 * error, 0.88 - 1.2 * error, 0.7), row(0.97, 0.88, 0.9), row(0.97 - error / 2, 0.88, 0.8)]
    assert [kept_of(rows[:number]) for number in (1, 2, 3)] == [0, 1, 2]
    # The first two are within an error of each other, the first and the third are not.
    rising = [row(0.95 + step * error, 0.88, 0.7 + step / 100) for step in (0, 1.8, 3.6)]
    assert [kept_of(rising[:number]) for number in (1, 2, 3)] == [0, 0, 2]


def test_where_every_cell_is_right_the_loss_alone_decides():
    rows = [row(1.0, 1.0, loss) for loss in (0.5, 0.3, 0.4)]
    assert standard_error(1.0, 1.0, 12) == 0
    assert kept_of([row(1.0, 0.9, 0.1), *rows], cells=12) == 2


def test_the_standard_error_is_what_drawn_cells_spread_by(rng):
    right = rng.random((20_000, 400)) < 0.9  # the perturbed image of a cell errs where the clean one does
    spread = np.std(score_of(right.mean(1), right.mean(1)))
    assert spread == pytest.approx(standard_error(0.9, 0.9, 400), rel=0.03)
