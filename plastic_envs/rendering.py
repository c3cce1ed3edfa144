"""Paper and pixels for `render_mode="rgb_array"`: matplotlib without pyplot, loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "pixels"]


def new_figure(size_inches: tuple[float, float], dpi: float, paper: str = "white") -> Figure:
    """An empty figure that belongs to no window and to no global state.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "render_mode='rgb_array' draws with matplotlib, which is not installed; "
            'pip install "plastic-gym[render]", or use render_mode="ansi".'
        ) from error
    figure = Figure(figsize=size_inches, dpi=dpi, facecolor=paper)
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """The figure as (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)  # `new_figure` made it
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
