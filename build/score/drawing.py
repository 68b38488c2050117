"""Small drawings for the HTML pages: SVG text whose colours come from the page's style, and PNG data addresses.

Everything is drawn in CSS variables (--ink, --faint, --accent, --bad ...), so that one drawing serves light and dark.
"""

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np
from markupsafe import Markup


def png(image: np.ndarray) -> bytes:
    """A uint8 (H, W, 3) RGB image as a PNG."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def data_address(image: np.ndarray) -> str:
    """A uint8 (H, W, 3) RGB image as a data: address of a PNG."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")


def heat_over(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A heat map (h, w), 0..1, laid over a uint8 (H, W, 3) RGB image: the hotter, the more it covers."""
    height, width = image.shape[:2]
    heat = cv2.resize(
        np.clip(np.nan_to_num(heat), 0, 1).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    heat = np.clip(heat, 0, 1)
    colour = cv2.cvtColor(cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    cover = (0.15 + 0.65 * heat)[..., None]
    return np.rint(grey * (1 - cover) + colour * cover).astype(np.uint8)


def interval_bar(value: float, low: float, high: float, width: int = 180, height: int = 18) -> Markup:
    """A share 0..1 as a dot with its interval on a 0..1 track."""
    radius, middle = 4, height / 2
    # The track ends a radius before the edges, so that a dot at 0 or 1 is whole.
    x, a, b = (radius + share * (width - 2 * radius) for share in (value, low, high))
    return Markup(  # noqa: S704 - made of numbers only
        f'<svg class="bar" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{value:.3f}, from {low:.3f} to {high:.3f}">'
        f'<rect class="track" x="0" y="{middle - 2}" width="{width}" height="4" rx="2"/>'
        f'<rect class="fill" x="0" y="{middle - 2}" width="{x:.1f}" height="4" rx="2"/>'
        f'<rect class="whisker" x="{a:.1f}" y="{middle - 5}" width="{max(2.0, b - a):.1f}" height="10" rx="3"/>'
        f'<circle class="dot" cx="{x:.1f}" cy="{middle}" r="{radius}"/></svg>'
    )


def severity_curve(
    title: str,
    points: Sequence[tuple[int, float, float, float]],
    mean: Sequence[tuple[int, float]],
    width: int = 176,
    height: int = 112,
) -> Markup:
    """Accuracy (0..1) over severity 0..5 with its interval as a band; the suite's mean lies faint behind.

    points: (severity, accuracy, low, high), ascending; severity 0 is the images as they are.
    """
    left, right, top, bottom = 26, 8, 8, 18
    inner_width, inner_height = width - left - right, height - top - bottom

    def x(severity: float) -> float:
        return left + severity / 5 * inner_width

    def y(accuracy: float) -> float:
        return top + (1 - accuracy) * inner_height

    def line(pairs: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x(severity):.1f},{y(accuracy):.1f}" for severity, accuracy in pairs)

    grid = "".join(
        f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        f'<text class="tick" x="{left - 5}" y="{y(level) + 3:.1f}" text-anchor="end">{level:g}</text>'
        for level in (0, 0.5, 1)
    )
    ticks = "".join(
        f'<text class="tick" x="{x(severity):.1f}" y="{height - 5}" text-anchor="middle">{severity}</text>'
        for severity in range(6)
    )
    band = line([(s, high) for s, _, _, high in points]) + " " + line([(s, low) for s, _, low, _ in reversed(points)])
    dots = "".join(
        f'<circle class="dot" cx="{x(s):.1f}" cy="{y(a):.1f}" r="2.4"><title>severity {s}: {a:.3f} '
        f"({low:.3f} to {high:.3f})</title></circle>"
        for s, a, low, high in points
    )
    label = f"{escape(title)}: accuracy over severity"
    return Markup(  # noqa: S704 - numbers, and the escaped title
        f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f'{grid}{ticks}<polyline class="mean" points="{line(mean)}"/><polygon class="band" points="{band}"/>'
        f'<polyline class="line" points="{line([(s, a) for s, a, _, _ in points])}"/>{dots}</svg>'
    )
