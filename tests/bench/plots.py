"""Plots as PNG: latency against load, and what happened second by second.

Responsible for: `Plot`, and drawing it with matplotlib where that is installed (`pip install shared-sequencer[bench]`).
Refuses to do: measure, or fail a run for want of a plot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `marks`: vertical lines with their words."""

    y_label: str
    series: Mapping[str, Points]
    is_logarithmic: bool = False
    marks: Sequence[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Plot:
    """Panels above each other over one x axis."""

    name: str
    title: str
    x_label: str
    panels: Sequence[Panel]


def draw(plot: Plot) -> bytes | None:
    """The PNG; None where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9, 1.2 + 2.6 * len(plot.panels)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(plot.title)
    grid: Any = figure.subplots(len(plot.panels), 1, sharex=True, squeeze=False)
    for (axes,), panel in zip(grid, plot.panels, strict=True):
        _draw_panel(axes, panel)
    grid[-1][0].set_xlabel(plot.x_label)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _draw_panel(axes: Any, panel: Panel) -> None:
    for label, points in panel.series.items():
        drawn = [(x, y) for x, y in points if y is not None]
        axes.plot([x for x, _ in drawn], [y for _, y in drawn], marker=".", label=label)
    if panel.is_logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    for at, words in panel.marks:
        axes.axvline(at, color="black", linestyle="--", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "rotation": 90, "va": "top", "ha": "right"}
        axes.annotate(words, (at, 1.0), fontsize=8, **place)
    axes.set_ylabel(panel.y_label)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="best")
