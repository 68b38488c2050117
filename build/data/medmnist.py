"""BloodMNIST by its MedMNIST name: `medmnist:bloodmnist` or `medmnist:bloodmnist@224` (64, 128 or 224; default 128).

The optional medmnist package (3.0.2 tried) says where the file lies, which checksum it has and what its labels mean;
only its table is loaded, so `pip install --no-deps medmnist` is enough and PyTorch, which the package imports, is not
needed. The file is downloaded once, with its MD5 checked. Source: Yang et al., MedMNIST v2, Scientific Data 10:41
(2023); BloodMNIST holds the 17,092 cells of Acevedo et al. (2020), the middle 200x200 pixels of each image; CC BY 4.0.
"""

import hashlib
import http.client
import importlib.util
import urllib.error
import urllib.request
from pathlib import Path

from build import files
from build.console import bar
from build.data import names, npz
from build.data.cells import Cells
from build.errors import UserError
from build.machine import pip_install

SIZES = (64, 128, 224)
DEFAULT_SIZE = 128
"""The smallest that is not enlarged for 96x96 pixels."""
TIMEOUT = 30
"""Seconds without a byte after which a download is given up."""


def read(source: str, *, cache: Path) -> Cells:
    """Read `medmnist:NAME[@SIZE]`: training, validation and test part joined, resized to the contract's shape.

    Labels are mapped by their names in the package to the contract's classes, whatever their order. UserError where the
    package or the network is missing, and where the data set is none of RGB images with the contract's classes.
    """
    name, _, given = source.removeprefix("medmnist:").partition("@")
    if given and given not in map(str, SIZES):
        raise UserError(f"{source} asks for size {given}; expected one of {', '.join(map(str, SIZES))}.")
    size = int(given or DEFAULT_SIZE)
    facts = _table(source).get(name)
    if facts is None or facts["n_channels"] != 3 or f"url_{size}" not in facts:
        raise UserError(
            f"{source} is no RGB data set of the medmnist package in size {size}; expected medmnist:bloodmnist."
        )
    labels = [facts["label"][str(index)].partition("(")[0].strip() for index in range(len(facts["label"]))]
    mapping, notes = names.match(labels, source)
    path = _fetch(f"{name}_{size}.npz", facts[f"url_{size}"], facts[f"MD5_{size}"], cache)
    return npz.read(path, cache=cache, source=source, mapping=mapping, notes=notes)


def _table(source: str) -> dict[str, dict]:
    """INFO of the installed medmnist package, without importing the package (its __init__ imports PyTorch)."""
    found = importlib.util.find_spec("medmnist")
    if found is None or found.origin is None:
        raise UserError(
            f"{source} needs the medmnist package: `{pip_install('--no-deps', 'medmnist')}`, or give the path of a "
            "downloaded bloodmnist_128.npz instead."
        )
    spec = importlib.util.spec_from_file_location("medmnist_info", Path(found.origin).with_name("info.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.INFO


def _fetch(name: str, url: str, md5: str, cache: Path) -> Path:
    """The file `name`: from medmnist's own folder, from our cache, or from `url`; its MD5 is checked."""
    kept = cache / "downloads" / name
    if kept.exists():
        if (found := _md5(kept)) != md5:
            raise UserError(
                f"{kept} has MD5 {found}, and {name} should have {md5}; remove it or put the right file there."
            )
        return kept
    theirs = Path.home() / ".medmnist" / name
    if theirs.exists() and _md5(theirs) == md5:
        return theirs
    digest = hashlib.md5(usedforsecurity=False)
    try:
        # The address comes from the installed package, not from the user.
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, files.atomic(kept) as file:  # noqa: S310
            total = int(answer.headers.get("Content-Length") or 0) >> 10
            with bar(f"Downloading {name}", total or None, "KiB") as advance:
                while block := answer.read(1 << 20):
                    digest.update(block)
                    file.write(block)
                    advance(len(block) >> 10)
            if digest.hexdigest() != md5:
                raise UserError(f"The download of {url} has MD5 {digest.hexdigest()}, expected {md5}; try again.")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"{url} cannot be downloaded ({getattr(error, 'reason', error)}); fetch it on a machine with network "
            f"and put it at {kept}."
        ) from error
    return kept


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
