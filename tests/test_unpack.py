import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
from broken import UPLOAD
from submissions import GOOD, bomb, extracted, linked, pack, tree, twice

from build.errors import UserError
from build.score import unpack as unpacking
from build.score.unpack import Refusal, unpack

ODD = {
    "model.py": GOOD, "../up.txt": "a", "/etc/root.txt": "b", "a/../b/./c.txt": "c", "back\\slash.txt": "d", "empty/": "",
    "d//e.txt": "f", "ünïcode/ß.txt": "g", "c:/drive.txt": "h", "...": "i", " space ": "j", "a/": "", "a/nul.txt": "",
}  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_files_are_those_that_the_workers_extractall_makes(method, tmp_path):
    path = pack(tmp_path / "z.zip", ODD, method)
    assert unpack(path, tmp_path / "ours") is None
    assert tree(tmp_path / "ours") == extracted(path, tmp_path / "theirs")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ours", "theirs", "z.zip"]


def test_a_link_becomes_a_file_that_holds_its_target_and_the_last_of_two_members_counts(tmp_path):
    assert unpack(linked(tmp_path / "a.zip"), tmp_path / "linked") is None
    assert (tmp_path / "linked" / "weights.npy").read_text() == "../../home/weights.npy"
    assert not (tmp_path / "linked" / "weights.npy").is_symlink()
    assert unpack(twice(tmp_path / "b.zip"), tmp_path / "twice") is None
    assert (tmp_path / "twice" / "model.py").read_text() == GOOD


def test_of_members_of_one_name_only_the_last_is_read_and_it_is_written_last(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, text in (("model.py", "damaged"), ("/model.py", "second"), ("model.py", GOOD)):
            archive.writestr(name, text)
    (tmp_path / "z.zip").write_bytes((tmp_path / "z.zip").read_bytes().replace(b"damaged", b"DAMAGED"))
    assert unpack(tmp_path / "z.zip", tmp_path / "ours") is None
    assert tree(tmp_path / "ours") == extracted(tmp_path / "z.zip", tmp_path / "theirs") == {"model.py": GOOD.encode()}


def test_what_is_stored_with_a_folder_does_not_matter(tmp_path):
    contents = bytearray(pack(tmp_path / "z.zip", {"net/": "", "model.py": GOOD}).read_bytes())
    central = contents.index(b"PK\x01\x02")
    struct.pack_into("<HH", contents, central + 8, 1, 97)  # encrypted, by an unknown method
    (tmp_path / "z.zip").write_bytes(contents)
    assert unpack(tmp_path / "z.zip", tmp_path / "ours") is None
    assert tree(tmp_path / "ours") == extracted(tmp_path / "z.zip", tmp_path / "theirs")


@pytest.mark.parametrize("name", UPLOAD)
def test_a_refused_archive_leaves_nothing_behind_and_fails_on_the_worker_as_said(name, tmp_path):
    path = UPLOAD[name].write(tmp_path / "z.zip")
    found = unpack(path, tmp_path / "ours")
    assert isinstance(found, Refusal)
    assert found.rule == UPLOAD[name].rule
    assert tree(tmp_path) == {"z.zip": path.read_bytes()} | ({"ours": None} if (tmp_path / "ours").exists() else {})
    if found.server == "failed":
        with pytest.raises(zipfile.BadZipFile):
            extracted(path, tmp_path / "theirs")
    elif found.server == "stuck":
        with pytest.raises((RuntimeError, OSError)) as raised:
            extracted(path, tmp_path / "theirs")
        assert not isinstance(raised.value, zipfile.BadZipFile)
    else:
        extracted(path, tmp_path / "theirs")


def damaged(path: Path, method: int, place: int) -> Path:
    """A zip with one changed byte `place` bytes into the compressed contents of its only member."""
    contents = bytearray(pack(path, {"model.py": GOOD * 50}, method).read_bytes())
    contents[30 + len("model.py") + place] ^= 0xFF
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("place", [2, 4, 12, 60])
def test_a_damaged_stream_is_a_refusal_in_every_compression(method, place, tmp_path):
    found = unpack(damaged(tmp_path / "z.zip", method, place), tmp_path / "ours")
    assert found is not None
    assert found.rule in ("bad-crc", "bad-stream")
    assert found.sentence.startswith("model.py ")
    assert found.file == "model.py"
    with pytest.raises(zipfile.BadZipFile if found.server == "failed" else Exception):
        extracted(tmp_path / "z.zip", tmp_path / "theirs")


@pytest.mark.parametrize("size", [0, 1, 2**31])
def test_a_member_of_another_size_than_it_claims_is_a_refusal(size, tmp_path):
    contents = bytearray(pack(tmp_path / "z.zip", {"model.py": GOOD}).read_bytes())
    struct.pack_into("<I", contents, contents.index(b"PK\x01\x02") + 24, size)
    (tmp_path / "z.zip").write_bytes(contents)
    found = unpack(tmp_path / "z.zip", tmp_path / "ours")
    assert found is not None
    assert found.rule in ("bad-crc", "zip-bomb")
    assert list((tmp_path / "ours").iterdir()) == []


def test_a_bomb_cannot_hide_behind_a_claim_of_more_packed_bytes_than_there_are(tmp_path):
    contents = bytearray(bomb(tmp_path / "z.zip").read_bytes())
    second = contents.index(b"PK\x01\x02", contents.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", contents, second + 20, 100 * 2**20)
    (tmp_path / "z.zip").write_bytes(contents)
    found = unpack(tmp_path / "z.zip", tmp_path / "ours")
    assert found is not None
    assert found.rule == "zip-bomb"


def test_limits_on_size_number_and_depth(tmp_path, monkeypatch):
    path = pack(tmp_path / "z.zip", {"model.py": GOOD, "w/a.bin": bytes(1000), "w/b.bin": bytes(1000)})
    assert unpack(path, tmp_path / "a") is None
    for name, value, rule in (
        ("MOST_BYTES", 2000, "zip-bomb"),
        ("MOST_MEMBERS", 2, "too-many-members"),
        ("MOST_DEPTH", 1, "bad-name"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(unpacking, name, value)
            found = unpack(path, tmp_path / "b")
            assert found is not None
            assert found.rule == rule
            assert list((tmp_path / "b").iterdir()) == []
            # An organiser's bundle is as large as it is; its names are no safer.
            assert (unpack(path, tmp_path / "b", trusted=True) is None) == (name != "MOST_DEPTH")


def test_large_weights_that_compress_well_are_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1000)
    path = pack(tmp_path / "z.zip", {"model.py": GOOD, "w.bin": (bytes(60) + b"abcd") * 100 + bytes(range(256)) * 4})
    assert unpack(path, tmp_path / "a") is None


def test_unpacking_takes_little_memory(tmp_path):
    path = pack(tmp_path / "z.zip", {"w.bin": bytes(60 * 2**20)})
    tracemalloc.start()
    assert unpack(path, tmp_path / "a") is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a" / "w.bin").stat().st_size == 60 * 2**20
    assert peak < 8 * 2**20


def test_trouble_with_this_machines_disk_is_not_blamed_on_the_zip(tmp_path):
    (tmp_path / "a" / "model.py").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(pack(tmp_path / "z.zip", {"model.py": GOOD}), tmp_path / "a")
