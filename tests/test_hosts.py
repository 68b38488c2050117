"""One training on several hosts: what the environment says, who makes what of a batch, what is said when a host is gone.

What takes real processes is in tests/test_hosts_together.py.
"""

import dataclasses

import numpy as np
import pytest

from build.augment.pipeline import Augmentation
from build.errors import UserError
from build.recipes import find
from build.train.batches import Batches, parts_of
from build.train.hosts import Hosts, declared, is_loss
from build.train.streams import PERTURB, TRAIN

TWO = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:4711,10.0.0.2:4711",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
}
THREE = tuple(f"10.0.0.{number}:4711" for number in (1, 2, 3))
STRONG = Augmentation(dataclasses.replace(find("podium"), mixup_alpha=0.2), classes=8)


@pytest.fixture(scope="module")
def cells():
    return np.random.default_rng(0).integers(60, 200, (300, 32, 32, 3), dtype=np.uint8), np.arange(300) % 8


def batches_of(cells, count, index=0, **settings):
    settings = {
        "augmentation": STRONG,
        "batch": 128,
        "seed": 0,
        "stream": TRAIN,
        "epoch": 3,
        "shuffle": True,
    } | settings
    hosts = Hosts(tuple(f"localhost:{number}" for number in range(count)), index)
    return Batches(*cells, np.arange(300), hosts=hosts, **settings)


def made(batches):
    with batches:
        return [batches[index] for index in range(len(batches))]


def test_without_variables_a_process_is_alone():
    hosts = declared({}, "tensorflow")
    assert (hosts.count, hosts.index, hosts.chief) == (1, 0, True)
    assert hosts.sum([1.5, 2]).tolist() == [1.5, 2]
    assert hosts.chiefs(7) == 7
    assert hosts.chiefs_text("run") == "run"


def test_keras_own_variables_name_the_hosts():
    hosts = declared(TWO, "jax")
    assert hosts.addresses == ("10.0.0.1:4711", "10.0.0.2:4711")
    assert hosts.index == 1
    assert not hosts.chief
    assert declared(TWO | {"KERAS_DISTRIBUTION_PROCESS_ID": "0", "KERAS_DISTRIBUTION_NUM_PROCESSES": ""}, "jax").chief


@pytest.mark.parametrize(
    ("changes", "backend", "words"),
    [
        ({}, "tensorflow", "KERAS_BACKEND=jax"),
        ({"TF_CONFIG": "{}"}, "jax", "MultiWorkerMirroredStrategy"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": ""}, "jax", "this one's number"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "2"}, "jax", "below their count"),
        ({"KERAS_DISTRIBUTION_PROCESS_ID": "one"}, "jax", "below their count"),
        ({"KERAS_DISTRIBUTION_NUM_PROCESSES": "3"}, "jax", "for each process"),
        ({"KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1"}, "jax", "for each process"),
        ({"KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1,10.0.0.1:1"}, "jax", "another host:port"),
        ({"KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1,10.0.0.2"}, "jax", "host:port"),
    ],
)
def test_wrong_variables_are_one_sentence(changes, backend, words):
    with pytest.raises(UserError, match=words):
        declared(TWO | changes, backend)


@pytest.mark.parametrize(
    ("batch", "parts"), [(1, 1), (8, 1), (63, 1), (64, 2), (96, 2), (128, 4), (192, 4), (4096, 64)]
)
def test_parts_are_a_power_of_two_of_at_least_32_images(batch, parts):
    assert parts_of(batch) == parts


def test_hosts_make_slices_of_the_batches_that_one_makes(cells):
    whole = made(batches_of(cells, 1))
    assert [x.shape for x, _ in whole] == [(128, 32, 32, 3)] * 2
    for count in (2, 4):
        shares = [made(batches_of(cells, count, index)) for index in range(count)]
        for number, (x, y) in enumerate(whole):
            assert all(len(share[number][0]) == 128 // count for share in shares)
            np.testing.assert_array_equal(np.concatenate([share[number][0] for share in shares]), x)
            np.testing.assert_array_equal(np.concatenate([share[number][1] for share in shares]), y)


def test_a_host_neither_reads_nor_augments_anothers_images(cells):
    seen = []

    class Counted:
        def batch(self, images, labels, copy, *, rng, side):
            seen.append(len(images))
            return STRONG.batch(images, labels, copy, rng=rng, side=side)

    made(batches_of(cells, 2, 1, augmentation=Counted()))
    assert sum(seen) == 128
    assert batches_of(cells, 2, 1).images_made == 128


def test_parts_draw_different_numbers(cells):
    images = np.repeat(cells[0][:1], 300, axis=0)
    x, _ = batches_of((images, np.zeros(300, int)), 1).make(0)
    assert (x[:32] != x[32:64]).any()


def test_hosts_share_whole_validation_batches(cells):
    settings = {"shuffle": False, "stream": PERTURB, "batch": 80}
    whole = made(batches_of(cells, 1, **settings))
    assert [len(x) for x, _ in whole] == [80, 80, 80, 60]
    for count in (2, 3, 5):
        shares = [made(batches_of(cells, count, index, **settings)) for index in range(count)]
        assert sum(map(len, shares)) == 4
        assert sum(batches_of(cells, count, index, **settings).images_made for index in range(count)) == 300
        for index, share in enumerate(shares):
            for ours, theirs in zip(share, whole[index::count], strict=True):
                np.testing.assert_array_equal(ours[0], theirs[0])


def test_hosts_that_cannot_share_a_batch_are_told(cells):
    with pytest.raises(
        UserError, match="4 parts of 32, which 3 hosts cannot share evenly; take a power of two of hosts"
    ):
        batches_of(cells, 3)
    with pytest.raises(UserError, match="a recipe with a batch of 256 or a multiple of it, or fewer hosts"):
        batches_of(cells, 8)


def test_the_sentence_names_the_worker_where_it_can():
    hosts = Hosts(THREE, 0, "20260101-toy", met=True)
    reset = "UNKNOWN: Gloo AllGather failed: Read error [10.0.0.3]:29877: Connection reset by peer"
    assert hosts.sentence(reset) == (
        "Worker 2 at 10.0.0.3:4711 is gone; go on with --resume 20260101-toy on the hosts that remain."
    )
    assert "One of the workers 1 at 10.0.0.2:4711, 2 at 10.0.0.3:4711 is gone" in hosts.sentence()
    assert Hosts(THREE[:2], 1, met=True).sentence() == (
        "Worker 0 at 10.0.0.1:4711 is gone; go on from the start (no epoch was finished) on the hosts that remain."
    )
    assert "Not all of the 3 processes met at 10.0.0.1:4711" in Hosts(THREE).sentence()
    assert is_loss(ValueError(reset))
    assert not is_loss(ValueError("shapes do not match"))
    assert not is_loss(UserError(reset))
