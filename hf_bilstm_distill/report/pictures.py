"""Pictures of a report for a slide or a page: quality against speed, confusion, reliability. They need matplotlib."""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_bilstm_distill.report.bubble_labels import place_labels
from hf_bilstm_distill.report.model_report import Calibration, ModelReport
from hf_bilstm_distill.report.table import digits, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = ("pareto", "confusion", "reliability")

INK, QUIET, PAPER, ON_COLOUR = "#1f2328", "#6e7781", "#ffffff", "#fefefe"
# Okabe and Ito 2008, "Color Universal Design": told apart by people who are colour-blind, and of different greys.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_OF_MODEL = {"teacher": COLOURS[0], "student": COLOURS[1], "baseline": COLOURS[2], "tf-idf": COLOURS[3]}

CELL = "#004c7a"  # dark enough for numbers in white
_LARGEST_BUBBLE, _SMALLEST_BUBBLE = 26.0, 5.0  # radius in points
_MOST_CLASSES, _MOST_CLASSES_WITH_NUMBERS, _MOST_CLASSES_SIDE_BY_SIDE = 40, 12, 4
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that the picture is the same everywhere
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "svg.fonttype": "none",  # words stay words: to be searched, read out, and drawn in any script
    "svg.hashsalt": "report",
}


@dataclass(frozen=True)
class Picture:
    """One picture in two formats.

    Attributes:
        name: Its name, without a suffix.
        title: What it shows.
        description: The same for somebody who cannot see it.
        svg: The picture as SVG.
        png: The picture as PNG, 300 dots an inch.
    """

    name: str
    title: str
    description: str
    svg: str
    png: bytes


def draw_pictures(task: str, models: Sequence[ModelReport]) -> list[Picture]:
    """Draw what can be drawn of a report.

    Args:
        task: What the models were asked to do, in a word.
        models: What was measured.

    Returns:
        The pictures, named as in `PICTURES`. One for which nothing was measured is left out.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "The pictures of a report need matplotlib, which is not installed. "
            "Install it with: pip install 'hf-bilstm-distill[report]'"
        ) from error
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # a script that this font lacks
        drawn = [_draw_pareto(task, models), _draw_confusion(task, models), _draw_reliability(task, models)]
    return [picture for picture in drawn if picture is not None]


def quality_of(models: Sequence[ModelReport]) -> tuple[str, dict[str, float]] | None:
    """Choose what to call quality: the first metric, or the agreement with the teacher where there is none.

    Args:
        models: What was measured.

    Returns:
        Its name, and its value for each model that has one, by name. None if there is neither.
    """
    for name in dict.fromkeys(name for model in models for name in model.metrics):
        metrics = {model.name: value for model in models if _is_number(value := model.metrics.get(name))}
        if metrics:
            return name, metrics  # type: ignore[return-value]
    agreements = {model.name: model.agreement_with_teacher for model in models}
    known = {name: value for name, value in agreements.items() if value is not None}
    return ("agreement with the teacher", known) if known else None


def headline(task: str, models: Sequence[ModelReport]) -> str:
    """Say in a line what was gained and lost.

    Args:
        task: What the models were asked to do, in a word.
        models: What was measured.

    Returns:
        How much faster the student is than its teacher and what it keeps of its quality; the task where there is no
        such pair.
    """
    by_name = {model.name: model for model in models}
    teacher, student = by_name.get("teacher"), by_name.get("student")
    if teacher is None or student is None:
        return task
    gains = []
    faster = ratio(student.throughput_per_s, teacher.throughput_per_s)
    smaller = ratio(teacher.size_mb, student.size_mb)
    gains += [f"{_times(faster)} faster"] if faster is not None and faster > 1 else []
    gains += [f"{_times(smaller)} smaller"] if smaller is not None and smaller > 1 else []
    quality = quality_of(models)
    if quality is not None and quality[0] in teacher.metrics and {"teacher", "student"} <= set(quality[1]):
        of_teacher, of_student = quality[1]["teacher"], quality[1]["student"]
        if of_teacher > 0 and of_student > 0:
            gains.append(f"{of_student / of_teacher:.1%} of the teacher's {quality[0].replace('_', ' ')}")
    return f"{task}: {', '.join(gains)}" if gains else task


def colour_of(name: str, models: Sequence[ModelReport]) -> str:
    """Return the colour that stands for a model in every picture.

    Args:
        name: The model.
        models: All models.

    Returns:
        The colour in hexadecimal.
    """
    others = [model.name for model in models if model.name not in _OF_MODEL]
    free = [colour for colour in COLOURS if colour not in {_OF_MODEL.get(model.name) for model in models}] or COLOURS
    return _OF_MODEL[name] if name in _OF_MODEL else free[others.index(name) % len(free)]


def _draw_pareto(task: str, models: Sequence[ModelReport]) -> Picture | None:
    quality = quality_of(models)
    if quality is None:
        return None
    metric, values = quality
    shown = [model for model in models if model.name in values and _is_number(model.throughput_per_s)]
    if not shown:
        return None
    figure, axes = _figure(5.5, 4.3)
    speeds = [float(model.throughput_per_s or 0) for model in shown]
    heights = [values[model.name] for model in shown]
    ends = [model.intervals.get(metric) or [height, height] for model, height in zip(shown, heights, strict=True)]
    radii = _radii([model.size_mb for model in shown])
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 2.2, max(speeds) * 2.2)
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    margin = 0.22 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    front = _front(speeds, heights)
    axes.plot(*zip(*front, strict=True), color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    for model, speed, height, (bottom, top), radius in zip(shown, speeds, heights, ends, radii, strict=True):
        colour = colour_of(model.name, shown)
        inside, edge = (PAPER, colour) if model.size_mb is None else (colour, PAPER)
        axes.scatter([speed], [height], s=math.pi * radius**2, c=inside, edgecolors=edge, linewidths=1.2, zorder=3)
        reach = [[height - bottom], [top - height]]
        axes.errorbar([speed], [height], yerr=reach, color=INK, linewidth=1.1, capsize=3, zorder=4)
    axes.set_xlabel("texts per second (log scale)  →  faster")
    axes.set_ylabel(f"{metric.replace('_', ' ')}  →  better", parse_math=False)
    axes.grid(visible=True, axis="both", which="major", color=QUIET, alpha=0.18, linewidth=0.8)
    _plain_speeds(axes)
    title = headline(task, models)
    _title(figure, title)
    place_labels(
        axes,
        points=list(zip(speeds, heights, strict=True)),
        radii=radii,
        lines=[front, *([(speed, low), (speed, high)] for speed, (low, high) in zip(speeds, ends, strict=True))],
        names=[model.name for model in shown],
        facts=[_facts(model, values[model.name]) for model in shown],
        colours=[colour_of(model.name, shown) for model in shown],
    )
    facts = "; ".join(f"{model.name}: {_facts(model, values[model.name])}" for model in shown)
    return _picture("pareto", title, f"{metric} against texts per second. {facts}.", figure)


def _draw_confusion(task: str, models: Sequence[ModelReport]) -> Picture | None:
    known = {model.name: model for model in models if model.confusion is not None and model.classes}
    wanted = [known[name] for name in ("teacher", "student") if name in known] or list(known.values())[:1]
    if not wanted:
        return None
    num_classes = max(len(model.classes) for model in wanted)
    if num_classes > _MOST_CLASSES:
        return None
    if num_classes > _MOST_CLASSES_SIDE_BY_SIDE:
        wanted = wanted[-1:]
    side = max(2.6, 0.6 * min(num_classes, _MOST_CLASSES_WITH_NUMBERS) + 1.2)
    figure, *panels = _figure(side * len(wanted) + 0.4, side + 0.9, len(wanted))
    for axes, model in zip(panels, wanted, strict=True):
        _confusion_panel(axes, model)
    for axes in panels[1:]:
        axes.set_yticklabels([])
    panels[0].set_ylabel("gold label")
    title = f"{task}: which labels are taken for which"
    _title(figure, title)
    facts = [f"{model.name}: {_most_confused(model)}" for model in wanted]
    return _picture("confusion", title, f"Texts by gold and predicted label. {' '.join(facts)}", figure)


def _confusion_panel(axes: "Axes", model: ModelReport) -> None:
    from matplotlib.patches import Rectangle

    counts = model.confusion or []
    for row, line in enumerate(counts):
        support = sum(line)
        for column, count in enumerate(line):
            share = count / support if support else 0.0
            shade = math.sqrt(share)  # so that rare mistakes can be seen
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=CELL, alpha=shade, linewidth=0))
            if len(counts) <= _MOST_CLASSES_WITH_NUMBERS and (count or len(counts) <= _MOST_CLASSES_SIDE_BY_SIDE):
                percent = f"\n{share:.0%}" if len(counts) <= _MOST_CLASSES_SIDE_BY_SIDE and support else ""
                ink = ON_COLOUR if shade > 0.68 else INK
                axes.text(column, row, f"{count:,}{percent}", color=ink, ha="center", va="center")
    names = [each["name"] for each in model.classes]
    positions = range(len(names))
    is_long = len(names) > _MOST_CLASSES_SIDE_BY_SIDE or max(map(len, names)) > 10
    size = 11 if len(names) <= _MOST_CLASSES_WITH_NUMBERS else 6
    axes.set_xticks(positions, names, rotation=40 if is_long else 0, ha="right" if is_long else "center", fontsize=size)
    rotation = 90 if not is_long and len(names) <= _MOST_CLASSES_SIDE_BY_SIDE else 0
    axes.set_yticks(positions, names, fontsize=size, rotation=rotation, va="center")
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal", xlabel="predicted label")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, color=QUIET, linewidth=0.8)
    axes.set_title(model.name, fontsize=11, fontweight="bold", parse_math=False)


def _draw_reliability(task: str, models: Sequence[ModelReport]) -> Picture | None:
    shown = [(model, model.calibration) for model in models if model.calibration is not None][:6]
    if not shown:
        return None
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure, *panels = _figure(2.7 * columns + 0.2, 2.6 * rows + 0.8, columns * rows, columns)
    filled = [each for _, calibration in shown for each in calibration["bins"] if each["rows"]]
    lowest = min(min(each["low"], each["accuracy"] or 0.0) for each in filled)
    low = math.floor(lowest * 5) / 5
    for axes, (model, calibration) in zip(panels, shown, strict=False):
        _reliability_panel(axes, model.name, calibration, colour_of(model.name, models), low)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("share that is right")
    for axes in panels[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel("probability of its label")
    title = f"{task}: how far the probabilities can be trusted"
    _title(figure, title)
    errors = [f"{model.name} {calibration['expected_calibration_error']:.3f}" for model, calibration in shown]
    return _picture("reliability", title, f"Expected calibration error: {', '.join(errors)}.", figure)


def _reliability_panel(axes: "Axes", name: str, calibration: Calibration, colour: str, low: float) -> None:
    from matplotlib.ticker import MultipleLocator

    bins = [each for each in calibration["bins"] if each["rows"]]
    total = sum(each["rows"] for each in bins)
    confidences = [each["confidence"] or 0.0 for each in bins]
    accuracies = [each["accuracy"] or 0.0 for each in bins]
    axes.plot([low, 1], [low, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.vlines(confidences, confidences, accuracies, color=colour, alpha=0.35, linewidth=3, zorder=2)
    axes.plot(confidences, accuracies, color=colour, linewidth=1.4, zorder=3)
    sizes = [14 + 150 * each["rows"] / total for each in bins]
    axes.scatter(confidences, accuracies, s=sizes, color=colour, zorder=4)
    room = 0.03 * (1 - low)
    axes.set(xlim=(low - room, 1 + 2 * room), ylim=(low - room, 1 + 2 * room), aspect="equal")
    axes.xaxis.set_major_locator(MultipleLocator(0.2))
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    error = calibration["expected_calibration_error"]
    axes.set_title(name, fontsize=11, fontweight="bold", parse_math=False)
    axes.text(0.04, 0.95, f"ECE {error:.3f}", transform=axes.transAxes, va="top")


def _figure(width: float, height: float, panels: int = 1, columns: int | None = None) -> tuple[Any, ...]:
    """Make a figure without pyplot, which would keep it for ever, and its panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    columns = columns or panels
    return figure, *(figure.add_subplot(math.ceil(panels / columns), columns, n + 1) for n in range(panels))


def _title(figure: "Figure", title: str) -> None:
    letters = int(figure.get_figwidth() * 9)  # of this size, in its width
    figure.suptitle(textwrap.fill(title, letters), x=0.02, ha="left", fontsize=12, fontweight="bold", parse_math=False)


def _picture(name: str, title: str, description: str, figure: "Figure") -> Picture:
    vector, pixels = io.StringIO(), io.BytesIO()
    # No date and no version: the same report makes the same files.
    figure.savefig(vector, format="svg", facecolor=PAPER, metadata={"Date": None, "Creator": None})
    figure.savefig(pixels, format="png", facecolor=PAPER, dpi=300, metadata={"Software": None})
    return Picture(name, title, description, vector.getvalue(), pixels.getvalue())


def _front(speeds: Sequence[float], heights: Sequence[float]) -> list[tuple[float, float]]:
    """Return the models that no other one beats in both quality and speed, the slowest first."""
    points = sorted(zip(speeds, heights, strict=True))
    return [point for position, point in enumerate(points) if all(point[1] > y for _, y in points[position + 1 :])]


def _radii(sizes: Sequence[float | None]) -> list[float]:
    """Give bubbles areas in proportion to the sizes; the smallest are drawn so that one still sees them."""
    largest = max((size for size in sizes if size), default=0.0)
    return [max(_SMALLEST_BUBBLE, _LARGEST_BUBBLE * math.sqrt((size or 0.0) / (largest or 1.0))) for size in sizes]


def _plain_speeds(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    formatter: Callable[[float, Any], str] = lambda speed, _: f"{speed:,.0f}" if speed >= 1 else f"{speed:g}"  # noqa: E731
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 300 else (1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(formatter))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _facts(model: ModelReport, value: float) -> str:
    size = "" if model.size_mb is None else f" · {digits(model.size_mb)} MB"
    return f"{value:.3f} · {digits(model.throughput_per_s)}/s{size}"


def _most_confused(model: ModelReport) -> str:
    counts, names = model.confusion or [], [each["name"] for each in model.classes]
    mistakes = [(count, row, column) for row, line in enumerate(counts) for column, count in enumerate(line)]
    count, row, column = max((each for each in mistakes if each[1] != each[2]), default=(0, 0, 0))
    return f"most often {names[row]} is taken for {names[column]} ({count} texts)." if count else "no mistake."


def _times(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 10 else f"{factor:.1f}x"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
