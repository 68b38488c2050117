"""The findings as one self-contained HTML page, in the scorecard's style: no network, light and dark, pictures inside."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup

from build.data.cells import Cells
from build.files import write_text
from build.inspection import reported
from build.inspection.findings import Findings
from build.score.page import environment

TEMPLATES = Path(__file__).parent / "templates"
QUALITY = 88
SIDE = 96
"""Pictures are shown at this side at most; a JPEG of it takes about 3 kB."""


def picture(image: np.ndarray) -> str:
    """A uint8 (H, W, 3) RGB image as a data: address of a small JPEG."""
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def place(cells: Cells, row: int) -> str:
    """Where a picture is in the source: its row, and its file where it has one."""
    return f"row {row}, {cells.files[row]}" if cells.files else f"row {row}"


def swatch(lab: tuple[float, float, float]) -> str:
    """A CIE L*a*b* colour as CSS has it."""
    rgb = cv2.cvtColor(np.array([[lab]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
    return "rgb({} {} {})".format(*np.rint(rgb.clip(0, 1) * 255).astype(int).tolist())


def distribution(lines: Mapping[str, list[int]], mark: float, width: int = 760, height: int = 190) -> Markup:
    """Numbers of pairs by cosine, -1 to 1, one outline a name (a CSS class), on a logarithmic scale; `mark` is dashed."""
    left, right, top, bottom = 62, 10, 8, 24
    highest = max(1, *(max(counts) for counts in lines.values()))
    decades = int(np.ceil(np.log10(highest + 1)))

    def x(cosine: float) -> float:
        return left + (cosine + 1) / 2 * (width - left - right)

    def y(count: float) -> float:
        return top + (1 - np.log10(max(count, 0) + 1) / max(decades, 1)) * (height - top - bottom)

    parts = []
    for decade in range(0, decades + 1, 2):
        level = y(10**decade)
        said = f"{10**decade:,}"
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text x="{left - 5}" y="{level + 3:.1f}" text-anchor="end">{said}</text>')
    for tick in (-1, -0.5, 0, 0.5, 1):
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{tick:g}</text>')
    for name, counts in lines.items():
        step = 2 / len(counts)
        corners = [
            f"{x(-1 + i * step):.1f},{y(n):.1f} {x(-1 + (i + 1) * step):.1f},{y(n):.1f}" for i, n in enumerate(counts)
        ]
        parts.append(f'<polyline class="outline {name}" points="{" ".join(corners)}"/>')
    parts.append(f'<line class="mark" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top}" y2="{height - bottom}"/>')
    said = "Pairs of pictures by the cosine of their features"
    # Made of numbers and our own class names.
    return Markup(  # noqa: S704
        f'<svg class="distribution" viewBox="0 0 {width} {height}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
    )


def tiles(found: Findings) -> list[dict[str, str]]:
    """The headline numbers."""
    every = found.classes[-1]
    counts = {row.reason: row.count for row in found.reasons}
    rows = [
        ("Cells kept", f"{every.kept:,}", f"of {every.found:,} pictures"),
        ("Exact duplicates", f"{counts.get('duplicate', 0):,}", f"copies of {found.copied_pictures:,} pictures"),
        ("Foreign pictures", f"{counts.get('foreign', 0):,}", "no cells, by their colours"),
        ("Near-duplicate pairs", f"{found.near_count:,}", "kept on one side of the split"),
    ]
    others = found.backgrounds[1:]
    apart = sum(group.count for group in others)
    said = ", ".join(group.name for group in others[:2])
    if found.background_alone_count:
        apart += found.background_alone_count
        said = f"{said}{'; ' if said else ''}{found.background_alone_count:,} cells in no group"
    rows.append(("On another background", f"{100 * apart / max(1, every.kept):.1f}\N{NO-BREAK SPACE}%", said))
    rows.append(("Pictures with two labels", f"{found.conflict_count:,}", "identical pixels"))
    if found.network is not None:
        rows.append(("Labels to look at", f"{found.network.suspect_count:,}", "none of the nearest cells agrees"))
    return [{"name": name, "value": value, "range": about} for name, value, about in rows]


def comparison(found: Findings) -> list[tuple[str, str, str]]:
    """What, the competition report's figure, ours; empty for other data."""
    every = found.classes[-1]
    if not reported.applies(every.found):
        return []
    counts = {row.reason: row.count for row in found.reasons}
    ours = f"{every.train:,} / {every.validation:,} / {every.test:,}"
    rows = [
        ("Samples", f"{reported.SAMPLES:,}", f"{every.found:,}"),
        ("Duplicates removed", f"{reported.DUPLICATES:,}", f"{counts.get('duplicate', 0):,}"),
        ("Outliers", f"{reported.OUTLIERS}", f"{counts.get('foreign', 0):,}"),
        ("Different cells", f"{reported.DIFFERENT:,}", f"{every.kept:,}"),
        ("Training / validation / test", " / ".join(f"{n:,}" for n in reported.SPLIT), ours),
    ]
    if found.network is not None:
        alike = next(s for s in found.searches if s.name.startswith("network, cosine"))
        rows.append(
            ("Pairs at 95 % and above", f"{reported.SIMILAR} (EfficientNetB0)", f"{alike.pairs:,} (EfficientNet-Lite2)")
        )
    return rows


def write(found: Findings, cells: Cells, page: Path) -> Path:
    """Write the page and, beside it, the findings as JSON; both atomically. Returns the path of the JSON."""
    shown: Callable[[int], str] = lambda row: picture(np.asarray(cells.images[row]))  # noqa: E731 - a name for the template
    env = environment(TEMPLATES)
    env.filters |= {"picture": shown, "swatch": swatch, "place": lambda row: place(cells, row)}
    network = found.network
    names = [row.name for row in found.classes[:-1]]
    write_text(
        page,
        env.get_template("inspection.html.j2").render(
            found=found,
            names=names,
            tiles=tiles(found),
            comparison=comparison(found),
            training=reported.TRAINING if reported.applies(found.classes[-1].found) else None,
            distribution=distribution({"raw": network.raw_counts, "centred": network.centred_counts}, 0.95)
            if network
            else "",
        ),
    )
    beside = page.with_suffix(".json")
    named = {"files": cells.files} if cells.files else {}
    write_text(beside, json.dumps(found.as_dict() | named, indent=2) + "\n")
    return beside
