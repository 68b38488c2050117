"""Zips that nobody would think of: the oracle is the worker's own call, `ZipFile.extractall`."""

import io
import json
import struct
import tempfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from submissions import GOOD, cells, extracted, keras_file, pack, tree

from build.score.environment import ServerEnvironment
from build.score.judge import judge
from build.score.lint import lint
from build.score.outcome import one_line
from build.score.unpack import unpack

SERVER = ServerEnvironment.read()
fuzz = settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def packed(members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    pack(file, members, method)
    return file.getvalue()


GOOD_ZIPS = [
    packed(
        {"model.py": GOOD, "net/": "", "net/layers.py": "x = 1", "w.keras": keras_file("3.4.1"), "metadata": "a: 1"},
        method,
    )
    for method in METHODS
]


def check(contents: bytes) -> None:
    """Lint and unpacking agree with each other and with the worker; nothing is written beside; nothing takes long."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of names that occur twice
        root = Path(folder)
        path, ours = root / "in" / "z.zip", root / "in" / "ours"
        path.parent.mkdir()
        path.write_bytes(contents)
        refused = unpack(path, ours)
        assert sorted(one.name for one in root.iterdir()) == ["in"]
        assert {one.name for one in path.parent.iterdir()} <= {"z.zip", "ours"}
        assert path.read_bytes() == contents
        findings = lint(path, SERVER)
        if refused:
            assert [(finding.rule, finding.message) for finding in findings] == [
                (refused.rule, one_line(refused.sentence))
            ]
            assert not ours.exists() or not list(ours.iterdir())
            if refused.server in ("failed", "stuck"):
                with pytest.raises(Exception):  # noqa: B017, PT011
                    extracted(path, root / "theirs")
        else:
            assert tree(ours) == extracted(path, root / "theirs")
        for finding in findings:
            json.dumps(vars(finding))
            assert finding.message.isprintable()
    assert time.monotonic() - began < 10


@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\3\4", b"PK\5\6", GOOD_ZIPS[0]]), st.booleans())
@fuzz
def test_any_bytes(noise, known, first):
    check(known + noise if first else noise + known)


@st.composite
def mutated(draw) -> bytes:
    """A good zip with some bytes changed, cut out or doubled, most often where the headers are."""
    contents = bytearray(draw(st.sampled_from(GOOD_ZIPS)))
    marks = [at for at in range(len(contents)) if contents[at : at + 2] == b"PK"]
    for _ in range(draw(st.integers(1, 4))):
        near = st.builds(int.__add__, st.sampled_from(marks), st.integers(0, 45))
        at = min(draw(st.one_of(near, st.integers(0, len(contents) - 1))), len(contents) - 1)
        what = draw(st.sampled_from(("byte", "bit", "cut", "double", "end")))
        if what == "byte":
            contents[at] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x2F, 0x2E)))
        elif what == "bit":
            contents[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del contents[at : at + draw(st.integers(1, 8))]
        elif what == "double":
            contents[at:at] = contents[at : at + draw(st.integers(1, 8))]
        else:
            del contents[max(at, 1) :]
        if not contents:
            break
    return bytes(contents)


@given(mutated())
@fuzz
def test_good_zips_with_changed_bytes(contents):
    check(contents)


NAMES = st.one_of(
    st.sampled_from(["model.py", "metadata", "/", "..", ".", "", "a", "a/", "a/b", "../a", "/model.py", "model.py/x",
                     "C:\\x", "w.keras"]),
    st.lists(st.sampled_from(["a", "..", ".", "", "model.py", "net", "\\", "~", "\n", "\x1b[2J", "é" * 90, "x" * 200]), max_size=40)
    .map("/".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)  # fmt: skip
FIELDS = st.one_of(st.none(), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31, 2**32 - 1]))


@st.composite
def invented(draw) -> bytes:
    """A zip made by hand: any names, and now and then any flags, methods, attributes, sizes and offsets."""
    body, directory, count = b"", b"", 0
    for _ in range(draw(st.integers(0, 5))):
        name = draw(NAMES).encode()[:60_000]
        method = draw(st.sampled_from((0, 8, 8, 8, 12, 14, 97)))
        plain = draw(st.one_of(st.binary(max_size=60), st.just(GOOD.encode())))
        data = zlib.compress(plain)[2:-4] if method == 8 else plain
        flags = 0x800 | draw(st.sampled_from((0, 0, 0, 0, 0, 1, 8, 0x20, 0x40, 0xFFFF)))
        wild = draw(st.integers(0, 3)) == 0
        size, packed_size, crc, offset = (draw(FIELDS) if wild else None for _ in range(4))
        fields = (
            zlib.crc32(plain) if crc is None else crc,
            len(data) if packed_size is None else packed_size,
            len(plain) if size is None else size,
        )
        local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, flags, method, 0, 33, *fields, len(name), 0)
        attributes = draw(st.sampled_from((0, 0o100644 << 16, 0o120777 << 16, 0o40755 << 16 | 0x10)))
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 0x314, 20, flags, method, 0, 33, *fields, len(name), 0, 0, 0, 0,
            attributes, len(body) if offset is None else offset,
        ) + name  # fmt: skip
        body += local + name + data
        count += 1
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


@given(invented())
@fuzz
def test_zips_with_any_names_flags_and_sizes(contents):
    check(contents)


SNIPPETS = ("class Model:", "    def predict(self, X):", "        return X", "import numpy", "from . import a", "from .. import b",
            "open('x.npy')", "f'{x'", "def f(): pass", "@", "lambda: 0", "async def predict(): pass", "match x:",
            "  case _: pass", "try: import torch", "except: pass", "__all__ = ['y']", "del q", "global Model", "Model: int",
            "import metadata.x as Model")  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(st.sampled_from(SNIPPETS), max_size=8).map("\n".join)).map(
        lambda text: text.encode(errors="replace")
    )
    | st.binary(max_size=40),
    st.one_of(st.binary(max_size=40), st.just(keras_file("x.y")), st.just(keras_file("\ud800"))),
)
@fuzz
def test_any_source_and_any_weights(source, weights):
    check(packed({"model.py": source, "a.py": source, "w.keras": weights, "metadata.yaml": source}))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return cells(tmp_path_factory.mktemp("images"))


@given(mutated())
@settings(fuzz, max_examples=6)
def test_the_whole_judge_on_good_zips_with_changed_bytes(images, contents):
    whole_judge(images, contents)


@pytest.mark.slow
@given(st.one_of(mutated(), invented(), st.binary(max_size=300)))
@settings(fuzz, max_examples=100)
def test_the_whole_judge_on_many_zips(images, contents):
    whole_judge(images, contents)


def whole_judge(images, contents: bytes) -> None:
    """It ends, says whether the zip would score, and leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = root / "z.zip"
        path.write_bytes(contents)
        verdict = judge(path, [images], scratch=root / "scratch", time_limit=20, environment=SERVER, probes=False)
        refused = unpack(path, root / "ours")
        if refused:
            assert (verdict.exit_code, verdict.outcome.step) == (1, "upload")
            assert one_line(refused.sentence) == verdict.outcome.reason
        elif (root / "ours" / "model.py").is_file() and (root / "ours" / "model.py").read_text() == GOOD:
            assert verdict.exit_code == 0
            assert verdict.outcome.scores["accuracy"] == pytest.approx(7 / 12)
        else:
            assert verdict.exit_code == 1
            assert verdict.outcome.reason.isprintable()
        json.dumps(verdict.to_dict())
        assert list((root / "scratch").iterdir()) == []
