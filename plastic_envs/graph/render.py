"""Pictures and text of graph episodes: the graph, the walker, what has been shown, and the agent's guess."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plastic_envs.episodes import Episodes
from plastic_envs.graph.tables import TransitionTable
from plastic_envs.rendering import new_figure, pixels
from plastic_envs.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_INCHES, _DPI = (6.4, 4.8), 100
_INK, _FAINT_INK, _PAPER = "#22303c", "#8a949c", "#ffffff"
_UNSEEN, _SEEN, _CURRENT = "#b9c2ca", "#2f5d8a", "#f2a33a"
_NODE_VISITED, _NODE_UNVISITED = "#d6e4f2", "#ffffff"
_RIGHT, _WRONG = "#2a9d4a", "#d1343b"
_DASHES = (0, (4, 3))


@dataclass(frozen=True)
class _Answer:
    """The last answered question: key (node, label), answer and target."""

    step: int
    node: int
    label: int
    guess: int
    target: int

    @property
    def is_right(self) -> bool:
        return self.guess == self.target


@dataclass(frozen=True)
class _Scene:
    """An onlooker's knowledge at a step. Nodes and labels that are not shown are -1."""

    step: int
    length: int
    period: str
    segment: int
    num_segments: int
    labels: npt.NDArray[np.integer]  # (n, n), -1 = no edge
    node: int
    label: int
    reached: int
    asks: bool
    table: TransitionTable  # of one walk: what this segment has shown
    answer: _Answer | None
    num_right: int
    num_answered: int

    @property
    def is_over(self) -> bool:
        return self.step >= self.length

    @property
    def walker(self) -> int:
        """The walker's node, or the node that is asked about."""
        return self.reached if self.reached >= 0 else self.node

    @property
    def score(self) -> str:
        if not self.num_answered:
            return "no answers yet"
        return f"score {self.num_right / self.num_answered:.3f} ({self.num_right}/{self.num_answered})"


def _scene(task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> _Scene:
    """Collect the contents of a picture from the observations up to `step` and the answers before it."""
    length = int(episodes.lengths[row])
    last = min(step, length - 1)
    fields = {
        name: _decoded(episodes.observations[: last + 1, row, task.field(name).slice])
        for name in ("node", "action", "reached")
    }
    node, label, reached = fields["node"], fields["action"], fields["reached"]
    labels = episodes.facts["labels"][row]  # (S, n, n)
    segments = episodes.step_facts["segment"][: last + 1, row]
    table = TransitionTable(1, task.field("node").size, task.field("action").size)
    chained = task.association is not None and task.association.chained
    for t in np.flatnonzero(segments == segments[last]):
        to = int(reached[t])
        if chained and to < 0 and t < last:  # a walk shown node by node: the next node is where it led
            to = int(node[t + 1])
        for visited in (to, node[t] if chained else -1):
            if visited >= 0:
                table.visited[0, visited] = True
        if min(node[t], label[t], to) >= 0 and node[t] != to:
            table.learn(np.array([0]), node[t : t + 1], label[t : t + 1], np.array([to]))

    counts = np.flatnonzero(episodes.mask[:step, row] > 0)
    answered = counts[counts < len(actions)]
    targets = episodes.targets[answered, row]
    answer = None
    if len(answered):
        at_step = int(answered[-1])
        key = int(node[at_step]), int(label[at_step])
        answer = _Answer(at_step, *key, guess=int(actions[at_step]), target=int(targets[-1]))
    over = step >= length
    at = {name: -1 if over else int(values[last]) for name, values in fields.items()}
    return _Scene(
        step=step,
        length=length,
        period="over" if over else task.periods[int(episodes.periods[last, row])],
        segment=int(segments[last]),
        num_segments=len(labels),
        labels=labels[int(segments[last])],
        node=at["node"],
        label=at["action"],
        reached=at["reached"],
        asks=not over and at["reached"] < 0,
        table=table,
        answer=answer,
        num_right=int((actions[answered] == targets).sum()),
        num_answered=len(answered),
    )


def _decoded(one_hot: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The element that each row of (T, size) shows, (T,); -1 for a row of zeros."""
    elements: npt.NDArray[np.int64] = one_hot.argmax(axis=1)
    elements[~one_hot.any(axis=1)] = -1
    return elements


# ---- text ------------------------------------------------------------------------------------------


def graph_text(task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]) -> str:
    """An episode at a step in four lines: time, observation, last answer, known transitions.

    Args:
        task: A graph task (fields "node", "action", "reached"; fact "labels"; step fact "segment").
        episodes: The batch being played.
        row: Index of the episode.
        step: The step whose observation is shown; the episode's length, once it is over.
        actions: (step,) the actions taken so far. Targets appear only for answered steps.
    """
    scene = _scene(task, episodes, row, step, actions)
    where = f"step {scene.step}/{scene.length}  {scene.period}"
    if scene.num_segments > 1:
        where += f"  graph {scene.segment + 1}/{scene.num_segments}"
    count = int((scene.table.next_node >= 0).sum())
    return "\n".join((where, _now(scene), _last(scene), f"{scene.score}, {count} transitions known"))


def _now(scene: _Scene) -> str:
    """The current observation in words."""
    if scene.is_over:
        return "the episode is over"
    if scene.node < 0:
        return f"standing at node {scene.reached}"
    if scene.asks:
        return f"node {scene.node} --{scene.label}--> ?"
    if scene.node == scene.reached:
        why = f"no edge with label {scene.label}" if scene.label >= 0 else "no label was named"
        return f"node {scene.node}: {why}, stays"
    return f"node {scene.node} --{scene.label}--> node {scene.reached}"


def _last(scene: _Scene) -> str:
    """The last answer and its outcome in words."""
    answer = scene.answer
    if answer is None:
        return "last answer: none yet"
    question = f"last answer: node {answer.node} --{answer.label}--> {answer.guess}"
    return f"{question}, right" if answer.is_right else f"{question}, wrong (it was {answer.target})"


# ---- picture ---------------------------------------------------------------------------------------


def graph_layout(edges: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Positions of the nodes in the unit square: the same for the same graph.

    Distances on paper are fitted to distances on the graph (the spring energy of Kamada & Kawai, minimised by
    stress majorisation: Gansner, Koren & North, "Graph drawing by stress majorization", 2004); the longest
    extent is laid flat.

    Args:
        edges: (n, n) bool, symmetric.

    Returns:
        (n, 2) float64, x and y in [0, 1].
    """
    return _layout(edges.tobytes(), len(edges)).copy()


@functools.lru_cache(maxsize=256)
def _layout(edges: bytes, num_nodes: int) -> npt.NDArray[np.float64]:
    adjacent = np.frombuffer(edges, dtype=bool).reshape(num_nodes, num_nodes)
    apart = np.where(adjacent, 1.0, np.inf)
    np.fill_diagonal(apart, 0.0)
    for k in range(num_nodes):  # Floyd-Warshall
        apart = np.minimum(apart, apart[:, k : k + 1] + apart[k])
    apart = np.where(np.isfinite(apart), apart, num_nodes)

    centred = np.eye(num_nodes) - 1.0 / num_nodes
    values, vectors = np.linalg.eigh(-0.5 * centred @ apart**2 @ centred)  # classical scaling, to begin with
    place = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-3))
    # Nodes that the first guess puts in one spot must part; an irrational angle keeps them from lining up.
    turn = 2.399963 * np.arange(num_nodes)
    place = place + 0.05 * np.stack((np.cos(turn), np.sin(turn)), axis=1)
    weights = 1.0 / np.maximum(apart, 1.0) ** 2
    np.fill_diagonal(weights, 0.0)
    solve = np.linalg.pinv(np.diag(weights.sum(axis=1)) - weights)
    for _ in range(200):
        offsets = place[:, None] - place
        distances = np.maximum(np.hypot(offsets[..., 0], offsets[..., 1]), 1e-9)
        pull = weights * apart / distances
        place = solve @ (place * pull.sum(axis=1)[:, None] - pull @ place)

    place = place - place.mean(axis=0)
    place = place @ np.linalg.eigh(place.T @ place)[1][:, ::-1]  # principal axis along x
    low, high = place.min(axis=0), place.max(axis=0)
    scaled: npt.NDArray[np.float64] = (place - low) / np.maximum(high - low, 1e-9)
    return scaled


def graph_frame(
    task: Task, episodes: Episodes, row: int, step: int, actions: npt.NDArray[Any]
) -> npt.NDArray[np.uint8]:
    """Draw an episode at a step.

    Walked edges are solid, the others faint and dashed; the edge that the step is about is orange, and so is
    the node where the walker stands (or that is asked about). Nodes that have been visited are tinted. A
    green or red ring and arrow show the last answer for one step.

    Args:
        task: A graph task (see `graph_text`).
        episodes: The batch being played.
        row: Index of the episode.
        step: The step whose observation is shown; the episode's length, once it is over.
        actions: (step,) the actions taken so far.

    Returns:
        (480, 640, 3) uint8.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    scene = _scene(task, episodes, row, step, actions)
    figure = new_figure(_SIZE_INCHES, _DPI, _PAPER)
    axes = figure.add_axes((0.04, 0.13, 0.92, 0.73))
    axes.set_axis_off()
    axes.set_xlim(-0.06, 1.06)
    axes.set_ylim(-0.08, 1.08)
    _draw_graph(axes, scene)
    _draw_words(figure, scene)
    return pixels(figure)


def _draw_graph(axes: Axes, scene: _Scene) -> None:
    place = graph_layout(scene.labels >= 0)
    num_nodes = len(place)
    size = float(np.clip(34.0 - 0.45 * num_nodes, 12.0, 28.0))  # diameter of a node, in points
    letters = 0.42 * size

    for u, v in zip(*np.nonzero(np.triu(scene.labels >= 0)), strict=True):
        current = scene.node in (u, v) and scene.labels[u, v] == scene.label
        solid = bool(scene.table.neighbours[0, u, v])
        _draw_edge(axes, place[[u, v]], str(scene.labels[u, v]), size, solid, current)

    fills = [_NODE_VISITED if visited else _NODE_UNVISITED for visited in scene.table.visited[0]]
    outlines = [_SEEN if visited else _UNSEEN for visited in scene.table.visited[0]]
    if scene.walker >= 0:
        fills[scene.walker], outlines[scene.walker] = _CURRENT, _INK
    x, y = place.T
    axes.scatter(x, y, s=size**2, c=fills, edgecolors=outlines, linewidths=1.4, zorder=5)
    for u in range(num_nodes):
        axes.text(x[u], y[u], str(u), fontsize=letters, ha="center", va="center", color=_INK, zorder=6)

    answer = scene.answer
    if answer is not None and answer.step == scene.step - 1 and 0 <= answer.guess < num_nodes:
        _draw_answer(axes, place, answer, size)


def _draw_edge(
    axes: Axes, ends: npt.NDArray[np.float64], label: str, size: float, solid: bool, current: bool
) -> None:
    """An edge and its label; `ends` (2, 2) are its two points, `size` is a node's diameter in points."""
    x, y = ends.T
    if current:
        axes.plot(x, y, color=_CURRENT, linewidth=0.28 * size, solid_capstyle="round", zorder=1)
    if solid:
        axes.plot(x, y, color=_SEEN, linewidth=0.09 * size, zorder=2)
    else:
        axes.plot(x, y, color=_UNSEEN, linewidth=0.05 * size, linestyle=_DASHES, zorder=2)
    axes.text(
        x.mean(),
        y.mean(),
        label,
        fontsize=0.36 * size,
        fontweight="bold" if current else "normal",
        color=_INK if solid or current else _FAINT_INK,
        ha="center",
        va="center",
        zorder=3,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": _PAPER, "edgecolor": "none"},
    )


def _draw_answer(axes: Axes, place: npt.NDArray[np.float64], answer: _Answer, size: float) -> None:
    """A ring around the node that was guessed, and an arrow to it from the node that was asked about."""
    colour = _RIGHT if answer.is_right else _WRONG
    x, y = place[answer.guess]
    ring: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": 2.6, "clip_on": False}
    axes.scatter(x, y, s=(1.32 * size) ** 2, zorder=7, **ring)
    arrow = {
        "arrowstyle": "-|>",
        "color": colour,
        "linewidth": 2.0,
        "mutation_scale": 14,
        "shrinkA": 0.5 * size,
        "shrinkB": 0.68 * size,
        "connectionstyle": "arc3,rad=0.28",
    }
    if answer.guess != answer.node:
        axes.annotate("", xy=(x, y), xytext=tuple(place[answer.node]), zorder=4, arrowprops=arrow)


def _draw_words(figure: Figure, scene: _Scene) -> None:
    title = f"{scene.period}   ·   step {scene.step}/{scene.length}"
    if scene.num_segments > 1:
        title += f"   ·   graph {scene.segment + 1}/{scene.num_segments}"
    figure.text(0.04, 0.94, title, fontsize=11, color=_INK, va="center")
    figure.text(0.96, 0.94, scene.score, fontsize=11, color=_INK, va="center", ha="right", fontweight="bold")
    figure.text(0.04, 0.885, _now(scene), fontsize=10, color=_INK, va="center")
    if scene.answer is not None:
        colour = _RIGHT if scene.answer.is_right else _WRONG
        figure.text(0.96, 0.885, _last(scene), fontsize=10, color=colour, va="center", ha="right")

    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_SEEN, linewidth=2.2, label="edge walked"),
        Line2D([], [], color=_UNSEEN, linewidth=1.4, linestyle=_DASHES, label="not yet"),
        Line2D([], [], color=_CURRENT, linewidth=5.0, label="this step"),
        Line2D([], [], color=_RIGHT, marker="o", markerfacecolor="none", linewidth=2.0, label="right guess"),
        Line2D([], [], color=_WRONG, marker="o", markerfacecolor="none", linewidth=2.0, label="wrong guess"),
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8, labelcolor=_INK
    )
