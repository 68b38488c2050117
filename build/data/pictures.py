"""Picture files with labels, as cells: .jpg, .png, .bmp, .tif, .webp of 8 bits, one picture a file, of any size."""

import dataclasses
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import BITSPERSAMPLE

from build.data import cache as store
from build.data.cells import Cells
from build.data.resize import resize
from build.errors import UserError
from build.files import explained
from submission import contract

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation (Exif 3.0, tag 0x0112), what makes the picture upright."""
MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
"""Pillow's modes with 8 bits a channel: deeper ones would be clipped to white by the conversion."""
WITH_ALPHA = {"LA", "PA", "RGBA"}

SUBFILE_TYPE = 254
"""TIFF 6.0, section 8, NewSubfileType: bit 0 of a reduced version of another page."""

Labelled = tuple[Path, int]
"""A file and its class."""


def keep(files: list[Labelled], notes: list[str], *, source: str, root: Path, cache: Path) -> Cells:
    """The pictures as cells, from the cache or decoded and put there; images of another size are cut to the contract's aspect ratio
    and resized, which a note counts.

    `notes` are on names and other files: the same pictures under other names are an entry of their own. Cells.files are relative to
    `root`. UserError for files that cannot be read or decoded whole.
    """
    name = store.key("folder", _content(files), *notes)
    cells = store.find(cache, name, source)
    if cells is None:
        cells = store.write(cache, name, source, len(files), _pieces(files, notes), notes)
    return dataclasses.replace(cells, files=tuple(str(path.relative_to(root)) for path, _ in files))


def _content(files: list[Labelled]) -> str:
    """Hash over labels and bytes of all files in order."""
    digest = hashlib.sha256()
    for path, label in files:
        with explained(path, "read"):
            digest.update(f"{label} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _pieces(files: list[Labelled], notes: list[str]) -> Iterator[store.Piece]:
    step = store.piece_rows(int(np.prod(contract.IMAGE_SHAPE)))
    resized: dict[tuple[int, int], int] = {}
    brightest = 0
    for start in range(0, len(files), step):
        part = files[start : start + step]
        images = np.empty((len(part), *contract.IMAGE_SHAPE), np.uint8)
        for row, (path, _) in enumerate(part):
            image = decode(path)
            if image.shape != contract.IMAGE_SHAPE:
                resized[image.shape[:2]] = resized.get(image.shape[:2], 0) + 1
            images[row] = resize(image)
        brightest = max(brightest, int(images.max(initial=0)))
        yield images, np.array([label for _, label in part], np.int64)
    if files and brightest <= 1:
        raise UserError(
            f"No pixel of the {len(files)} images is above {brightest}, so they are black; multiply pixels of 0..1 by {contract.PIXEL_MAX} "
            "before they are saved as pictures."
        )
    if resized:
        (h, w), most = max(resized.items(), key=lambda item: item[1])
        sizes = f"{h}x{w} pixels" if len(resized) == 1 else f"{len(resized)} sizes, most often {h}x{w} pixels ({most})"
        notes.append(f"{sum(resized.values())} of {len(files)} images were resized: they have {sizes}")


def decode(path: Path) -> np.ndarray:
    """The picture in `path` as (h, w, 3) uint8 RGB, upright; UserError where damaged, cut off or deeper than 8 bits.

    Pillow and not OpenCV: OpenCV returns a cut-off JPEG with its lower part grey and no error.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in MODES or _bits(image) > 8:
                raise UserError(
                    f"{path} has {_bits(image)}-bit {image.mode} pixels; expected RGB or grey of 8 bits a channel; convert it."
                )
            if (count := _pictures(image)) > 1:
                raise UserError(
                    f"{path} holds {count} pictures; expected one a file, channels together as RGB; divide it."
                )
            if image.mode in WITH_ALPHA or "transparency" in image.info:
                # As viewers show it: under transparent pixels a file may hold any colours.
                image = _upright(image).convert("RGBA")
                return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
            return np.asarray(_upright(image).convert("RGB"))
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # Pillow's decoders raise what they meet on damaged files: SyntaxError of a broken PNG chunk, TypeError of a TIFF cut off before its
        # second page, KeyError, struct.error, DecompressionBombError.
        raise UserError(f"{path} is no whole image ({error}); replace or remove it.") from error


def _upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says. ImageOps.exif_transpose also writes the other tags anew, and breaks off at odd ones."""
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (SyntaxError, ValueError, TypeError, OSError, struct.error):
        return image  # what is damaged is what the file says of itself; viewers show it as it lies
    return image if turn is None else image.transpose(turn)


def _pictures(image: Image.Image) -> int:
    """Pages or frames of the file; without a TIFF's thumbnails, and one where a phone adds more to a JPEG (MPO)."""
    pages = range(getattr(image, "n_frames", 1))
    if image.format != "TIFF" or len(pages) == 1:
        return 1 if image.format == "MPO" else len(pages)
    count = 0
    for page in reversed(pages):  # and ends at the first
        image.seek(page)
        count += not image.tag_v2.get(SUBFILE_TYPE, 0) & 1
    return count


def _bits(image: Image.Image) -> int:
    """Bits a channel in the file: of 16-bit RGB, Pillow keeps the upper bytes and says RGB, near black if 12 are used."""
    if image.format == "PNG":
        return 16 if any(str(tile.args).endswith(";16B") for tile in image.tile) else 8
    return max(image.tag_v2.get(BITSPERSAMPLE, (1,))) if image.format == "TIFF" else 8
