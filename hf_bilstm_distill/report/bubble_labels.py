"""Write a label beside each bubble of a picture so that none covers another, a bubble or a line."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_GAPS = (4, 10, 18, 28, 40, 56, 76)  # points between a bubble and its label
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_LONGEST_WITHOUT_LEADER = 18
_LINE_HEIGHT = 13  # points
_STEP_ALONG_LINES = 3  # pixels


def place_labels(
    axes: "Axes",
    *,
    points: Sequence[tuple[float, float]],
    radii: Sequence[float],
    lines: Sequence[Sequence[tuple[float, float]]],
    names: Sequence[str],
    facts: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Write each label at the nearest free place: clear of all that is there, and inside the axes.

    Args:
        axes: Where the bubbles are, with its final limits.
        points: The centre of each bubble, in the units of the axes.
        radii: The radius of each, in points.
        lines: The lines that no label may cross, each as its corners in the units of the axes.
        names: The first line of each label, in bold.
        facts: The second line.
        colours: The colour of the line that joins a label to a bubble far away.
    """
    from matplotlib.transforms import Bbox

    figure: Any = axes.get_figure()
    figure.canvas.draw()  # settles where the axes are
    figure.set_layout_engine("none")
    scale = figure.dpi / 72
    centres = axes.transData.transform(points)
    taken = [Bbox([c - r * scale, c + r * scale]) for c, r in zip(centres, radii, strict=True)]
    taken += [Bbox([dot - 2, dot + 2]) for line in lines for dot in _dots(axes.transData.transform(line))]
    frame = axes.get_window_extent()
    # The most crowded bubbles choose first: the others have more places to go.
    for number in sorted(range(len(points)), key=lambda each: _distance_to_next(each, centres)):
        best: tuple[float, list[Any], Bbox] | None = None
        for gap, direction in _places():
            label = _write(axes, points[number], radii[number], gap, direction, (names[number], facts[number]))
            box = Bbox.union([part.get_window_extent() for part in label]).padded(2 * scale)
            overlap = sum(_shared_area(box, other) for other in taken) + _area_outside(box, frame)
            if best is None or overlap < best[0]:
                rejected, best = best[1] if best else [], (overlap, label, box)
                if gap > _LONGEST_WITHOUT_LEADER:
                    label.append(_leader(axes, points[number], box, radii[number], colours[number]))
            else:
                rejected = label
            for part in rejected:
                part.remove()
            if overlap == 0:
                break
        if best is not None:
            taken.append(best[2])


def _places() -> Iterator[tuple[int, tuple[int, int]]]:
    return ((gap, direction) for gap in _GAPS for direction in _DIRECTIONS)


def _write(
    axes: "Axes",
    point: tuple[float, float],
    radius: float,
    gap: float,
    direction: tuple[int, int],
    lines: tuple[str, str],
) -> list[Any]:
    right, up = direction
    reach = (radius + gap) / math.hypot(right, up)
    between = up * (reach + _LINE_HEIGHT)  # the height at which the two lines of the label meet
    return [
        axes.annotate(
            text,
            point,
            xytext=(right * reach, between),
            textcoords="offset points",
            ha=("center", "left", "right")[right],
            va=va,
            fontsize=10,
            fontweight=weight,
            parse_math=False,
            zorder=5,
        )
        for text, va, weight in zip(lines, ("bottom", "top"), ("bold", "normal"), strict=True)
    ]


def _leader(axes: "Axes", point: tuple[float, float], box: "Bbox", radius: float, colour: str) -> Any:
    centre = axes.transData.transform(point)
    x, y = axes.figure.transFigure.inverted().transform(np.clip(centre, box.p0, box.p1))
    style = {"arrowstyle": "-", "color": colour, "linewidth": 0.9, "shrinkA": 0, "shrinkB": radius}
    return axes.annotate("", point, xytext=(x, y), textcoords="figure fraction", arrowprops=style, zorder=2)


def _dots(corners: np.ndarray) -> Iterator[np.ndarray]:
    for start, end in pairwise(corners):
        yield from np.linspace(start, end, 2 + int(math.dist(start, end) / _STEP_ALONG_LINES))


def _distance_to_next(number: int, centres: np.ndarray) -> float:
    others = np.delete(centres, number, axis=0)
    return float(np.linalg.norm(others - centres[number], axis=1).min()) if len(others) else math.inf


def _shared_area(box: "Bbox", other: "Bbox") -> float:
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return float(max(0.0, width) * max(0.0, height))


def _area_outside(box: "Bbox", frame: "Bbox") -> float:
    return float(box.width * box.height) - _shared_area(box, frame)
