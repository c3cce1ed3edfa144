"""The tasks of the cognitive battery, as data: what is shown when, for how long, and what is right.

A task is a row of `TASKS`; its durations stand in `DURATIONS` under its family and dialect. Nothing else
knows a task by name. Every trial runs through the same six epochs, of which a task may leave some out::

    fix1  stim1  delay1  stim2  delay2  go1

The response is called for at the start of `go1`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plastic_envs.arguments import unknown_name

__all__ = [
    "CATEGORY_ANGLES",
    "COHERENCES",
    "DIALECTS",
    "DURATIONS",
    "EPOCHS",
    "LONG_MS",
    "PSYCHOMETRIC_MS",
    "TASKS",
    "TASK_SETS",
    "TEST_MS",
    "CognitiveTask",
    "Duration",
    "task_names",
]

DIALECTS = ("compact", "ring")
EPOCHS = ("fix1", "stim1", "delay1", "stim2", "delay2", "go1")


@dataclass(frozen=True)
class Duration:
    """Duration of an epoch.

    Attributes:
        low: Lower end of a uniform law, in ms.
        high: Upper end, in ms.
        choices: Equally likely durations in ms, instead of a uniform law, in rising order.
    """

    low: float
    high: float
    choices: tuple[float, ...] = ()


def _between(low: float, high: float) -> Duration:
    return Duration(low, high)


def _one_of(*choices: float) -> Duration:
    return Duration(choices[0], choices[-1], choices)


@dataclass(frozen=True)
class CognitiveTask:
    """A task of the battery.

    Attributes:
        name: In code and ids.
        title: In the literature.
        family: Tasks of a family have the same durations and the same test grid.
        shown: For each stimulus, the first and the last epoch in which it is on.
        locations: Law of the stimuli's locations: "one"; "apart" (two, 90 degrees or more apart); "match"
            (the same or not); "category" (each from a set with two halves); "cued" (one from that set, then
            two opposite ones).
        strengths: Law of the stimuli's strengths in the modalities: "unit" (1, in a modality that is drawn);
            "unit_attended" (1, in the first attended modality); "unit_own" (1, stimulus k in modality k);
            "attended" (a pair of strengths, in the attended modality); "independent" (a pair in each
            modality); "split" (one pair, each strength split over both modalities).
        rule: The right response: "toward" or "away" from the first stimulus; "stronger" (where the stronger
            stimulus was); "match" and "nonmatch" (where the second stimulus is if it does, or does not, match
            the first; else none); "cued" (the third stimulus if the first is in the first half of the circle,
            else the second).
        attended: Modalities, from 0, whose strengths decide.
        goes_off: Whether the fixation input goes off when the response is called for.
        dialects: Dialects that define it.
    """

    name: str
    title: str
    family: str
    shown: tuple[tuple[str, str], ...]
    locations: str
    strengths: str
    rule: str
    attended: tuple[int, ...] = (0, 1)
    goes_off: bool = True
    dialects: tuple[str, ...] = DIALECTS

    @property
    def num_modalities(self) -> int:
        """Modalities that it needs."""
        return 3 if self.strengths == "unit_own" else 2

    @property
    def is_simultaneous(self) -> bool:
        """True if two stimuli are on at once in one modality: the code must tell them apart."""
        return len(self.shown) == 2 and self.shown[0] == self.shown[1]

    @property
    def may_withhold(self) -> bool:
        """True if some trials call for no response."""
        return self.rule in ("match", "nonmatch")

    @property
    def epochs(self) -> tuple[str, ...]:
        """The epochs that it has, in order."""
        return tuple(name for name in EPOCHS if name in TEST_MS[self.family])


_STIM1, _STIM2, _GO1 = ("stim1", "stim1"), ("stim2", "stim2"), ("go1", "go1")
_TO_END = ("stim1", "go1")
_BOTH, _FIRST, _SECOND = (0, 1), (0,), (1,)

_ROWS = (
    CognitiveTask("fdgo", "Go", "fdgo", (_TO_END,), "one", "unit", "toward"),
    CognitiveTask("reactgo", "RT Go", "reactgo", (_GO1,), "one", "unit", "toward", goes_off=False),
    CognitiveTask("delaygo", "Dly Go", "delaygo", (_STIM1,), "one", "unit", "toward"),
    CognitiveTask("fdanti", "Anti", "fdgo", (_TO_END,), "one", "unit", "away"),
    CognitiveTask("reactanti", "RT Anti", "reactgo", (_GO1,), "one", "unit", "away", goes_off=False),
    CognitiveTask("delayanti", "Dly Anti", "delaygo", (_STIM1,), "one", "unit", "away"),
    CognitiveTask("dm1", "DM 1", "dm", (_STIM1, _STIM1), "apart", "attended", "stronger", _FIRST),
    CognitiveTask("dm2", "DM 2", "dm", (_STIM1, _STIM1), "apart", "attended", "stronger", _SECOND),
    CognitiveTask(
        "contextdm1", "Ctx DM 1", "contextdm", (_STIM1, _STIM1), "apart", "independent", "stronger", _FIRST
    ),
    CognitiveTask(
        "contextdm2", "Ctx DM 2", "contextdm", (_STIM1, _STIM1), "apart", "independent", "stronger", _SECOND
    ),
    CognitiveTask("multidm", "MultSen DM", "contextdm", (_STIM1, _STIM1), "apart", "split", "stronger"),
    CognitiveTask(
        "delaydm1", "Dly DM 1", "delaydm", (_STIM1, _STIM2), "apart", "attended", "stronger", _FIRST
    ),
    CognitiveTask(
        "delaydm2", "Dly DM 2", "delaydm", (_STIM1, _STIM2), "apart", "attended", "stronger", _SECOND
    ),
    CognitiveTask(
        "contextdelaydm1", "Ctx Dly DM 1", "contextdelaydm", (_STIM1, _STIM2), "apart", "independent",
        "stronger", _FIRST,
    ),
    CognitiveTask(
        "contextdelaydm2", "Ctx Dly DM 2", "contextdelaydm", (_STIM1, _STIM2), "apart", "independent",
        "stronger", _SECOND,
    ),
    CognitiveTask(
        "multidelaydm", "MultSen Dly DM", "contextdelaydm", (_STIM1, _STIM2), "apart", "split", "stronger"
    ),
    CognitiveTask("dmsgo", "DMS", "dms", (_STIM1, _GO1), "match", "unit", "match", goes_off=False),
    CognitiveTask("dmsnogo", "DNMS", "dms", (_STIM1, _GO1), "match", "unit", "nonmatch", goes_off=False),
    CognitiveTask("dmcgo", "DMC", "dmc", (_STIM1, _GO1), "category", "unit", "match", goes_off=False),
    CognitiveTask("dmcnogo", "DNMC", "dmc", (_STIM1, _GO1), "category", "unit", "nonmatch", goes_off=False),
    CognitiveTask(
        "oic", "1IC", "oic", (_TO_END, _GO1, _GO1), "cued", "unit_own", "cued", dialects=("ring",)
    ),
    CognitiveTask(
        "dmc", "DMC (one ring)", "one_ring_dmc", (_STIM1, _GO1), "category", "unit_attended", "match", _FIRST,
        goes_off=False, dialects=("ring",),
    ),
)  # fmt: skip

TASKS: dict[str, CognitiveTask] = {row.name: row for row in _ROWS}

# The interval tables of the two dialects (cognitive-battery specification, section 2). Compact durations of
# the simultaneous tasks are ours, after those of its delayed ones: that dialect has none.
_RING: dict[str, dict[str, Duration]] = {
    "fdgo": {"fix1": _between(300, 700), "stim1": _between(500, 1500), "go1": _one_of(500)},
    "reactgo": {"fix1": _between(500, 2500), "go1": _one_of(500)},
    "delaygo": {
        "fix1": _one_of(300, 500, 700), "stim1": _one_of(200, 400, 600),
        "delay1": _one_of(200, 400, 800, 1600), "go1": _one_of(500),
    },
    "dm": {"fix1": _between(100, 400), "stim1": _one_of(400, 800, 1600), "go1": _one_of(500)},
    "delaydm": {
        "fix1": _one_of(200, 400, 600), "stim1": _one_of(200, 400, 600),
        "delay1": _one_of(200, 400, 800, 1600), "stim2": _one_of(200, 400, 600),
        "delay2": _between(100, 300), "go1": _one_of(500),
    },
    "dms": {
        "fix1": _one_of(200, 400, 600), "stim1": _one_of(200, 400, 600),
        "delay1": _one_of(200, 400, 800, 1600), "go1": _one_of(500),
    },
    "oic": {"fix1": _between(100, 600), "stim1": _one_of(1000), "go1": _one_of(500)},
    "one_ring_dmc": {
        "fix1": _between(100, 600), "stim1": _one_of(1000), "delay1": _one_of(1000), "go1": _one_of(500)
    },
}  # fmt: skip
_RING["contextdm"], _RING["contextdelaydm"] = _RING["dm"], _RING["delaydm"]
_RING["dmc"] = {**_RING["dms"], "go1": _one_of(200, 400, 600)}

_COMPACT: dict[str, dict[str, Duration]] = {
    "fdgo": {"fix1": _between(300, 700), "stim1": _between(200, 1500), "go1": _between(300, 700)},
    "reactgo": {"fix1": _between(500, 2500), "go1": _between(300, 1700)},
    "delaygo": {
        "fix1": _between(300, 700), "stim1": _between(200, 1600), "delay1": _between(200, 1600),
        "go1": _between(300, 700),
    },
    "dm": {"fix1": _between(200, 600), "stim1": _between(200, 1600), "go1": _between(300, 700)},
    "delaydm": {
        "fix1": _between(200, 600), "stim1": _between(200, 1600), "delay1": _between(200, 1600),
        "stim2": _between(200, 1600), "delay2": _between(100, 300), "go1": _between(300, 700),
    },
    "dms": {
        "fix1": _between(200, 600), "stim1": _between(200, 1600), "delay1": _between(200, 1600),
        "go1": _between(300, 700),
    },
}  # fmt: skip
_COMPACT["contextdm"], _COMPACT["contextdelaydm"] = _COMPACT["dm"], _COMPACT["delaydm"]
_COMPACT["dmc"] = _COMPACT["dms"]

DURATIONS: dict[str, dict[str, dict[str, Duration]]] = {"ring": _RING, "compact": _COMPACT}
"""Dialect -> family -> epoch -> law."""

TEST_MS: dict[str, dict[str, float]] = {
    "fdgo": {"fix1": 500, "stim1": 1000, "go1": 500},
    "reactgo": {"fix1": 2000, "go1": 500},
    "delaygo": {"fix1": 500, "stim1": 500, "delay1": 1000, "go1": 500},
    "dm": {"fix1": 500, "stim1": 1500, "go1": 500},
    "contextdm": {"fix1": 500, "stim1": 1000, "go1": 500},
    "delaydm": {"fix1": 500, "stim1": 500, "delay1": 1000, "stim2": 500, "delay2": 200, "go1": 300},
    "contextdelaydm": {"fix1": 500, "stim1": 500, "delay1": 1000, "stim2": 500, "delay2": 500, "go1": 500},
    "dms": {"fix1": 500, "stim1": 500, "delay1": 1200, "go1": 500},
    "dmc": {"fix1": 500, "stim1": 500, "delay1": 1200, "go1": 500},
    "oic": {"fix1": 500, "stim1": 1000, "go1": 500},
    "one_ring_dmc": {"fix1": 500, "stim1": 1000, "delay1": 1000, "go1": 500},
}
"""Family -> epoch -> ms, in the test grid (section 3; those of the two one-interval tasks are ours)."""

PSYCHOMETRIC_MS: dict[str, dict[str, float]] = {
    "fdgo": {"fix1": 300, "go1": 400},
    "reactgo": {"fix1": 1000, "go1": 400},
    "delaygo": {"go1": 400},
    "dm": {"fix1": 300, "go1": 400},
    "contextdm": {"fix1": 500, "go1": 500},
    "delaydm": {"delay2": 200, "go1": 300},
    "contextdelaydm": {"fix1": 300, "stim1": 300, "stim2": 300, "delay2": 200, "go1": 300},
    "dms": {"fix1": 500, "stim1": 300, "delay1": 1200, "go1": 500},
    "dmc": {"fix1": 500, "stim1": 300, "delay1": 1200, "go1": 500},
}
"""Family -> epoch -> ms that hold in psychometric mode unless others are given (section 3)."""

LONG_MS: dict[str, dict[str, dict[str, float]]] = {
    "delaygo": {
        "fixation": {"fix1": 10_000}, "stimulus": {"stim1": 10_000}, "delay": {"delay1": 10_000},
        "response": {"go1": 10_000},
    },
    "fdgo": {"response": {"go1": 5000}},
    "delaydm": {"delay": {"delay1": 5000, "delay2": 5000}},
    "contextdelaydm": {"delay": {"delay1": 5000, "delay2": 5000}},
    "dmc": {"delay": {"delay1": 10_000}},
}  # fmt: skip
"""Family -> part of the trial -> epoch -> ms, where that part is long (section 2.2)."""

COHERENCES: dict[str, tuple[float, ...]] = {
    "simultaneous": (0.01, 0.02, 0.04, 0.08),
    "delayed": (0.08, 0.16, 0.32),
}
EASY_FACTOR = {"simultaneous": 10.0, "delayed": 2.0}

CATEGORY_ANGLES: dict[str, tuple[float, ...]] = {
    "ring": tuple(float(x) for x in (0.1 + 0.2 * np.arange(10)) * np.pi),
    "compact": tuple(float(x) for x in (0.05 + 0.25 * np.arange(8)) * np.pi),
}
"""Locations, in radians, of the tasks with categories."""

_GO = ("fdgo", "fdanti", "reactgo", "reactanti", "delaygo", "delayanti")
_DELAYED = ("delaydm1", "delaydm2", "contextdelaydm1", "contextdelaydm2", "multidelaydm")
_MATCH = ("dmsgo", "dmsnogo", "dmcgo", "dmcnogo")

TASK_SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(row.name for row in _ROWS[:20]),
    "everything": (*_GO, *_DELAYED, *_MATCH),
    "low_dim": (*_GO, *_DELAYED, *_MATCH),
    "mante": ("contextdm1", "contextdm2"),
    "oicdmc": ("oic", "dmc"),
    "fdgofamily": _GO[:2],
    "reactfamily": _GO[2:4],
    "delayfamily": _GO[4:],
    "simplegofamily": _GO[:4],
    "gofamily": _GO,
    "dm_family": _DELAYED,
    "go_dm_family": (*_GO, *_DELAYED),
    "gofamily_delaydm": (*_GO, *_DELAYED[:2]),
    "delaydmfamily": _DELAYED[:2],
    "contextdelayfamily": _DELAYED[2:4],
    "dmsgofamily": _MATCH[:2],
}
"""Named lists of tasks, in their order (section 8)."""


def task_names(tasks: str | Sequence[str], argument: str = "tasks") -> tuple[str, ...]:
    """The names behind a task, a named set, or a list of tasks.

    Args:
        tasks: What was asked for.
        argument: Name of the argument it came by, for messages.

    Raises:
        ValueError: If a name is unknown, stands twice, or if there is none.
    """
    if isinstance(tasks, str):
        names: tuple[str, ...] = TASK_SETS.get(tasks, (tasks,))
    else:
        names = tuple(tasks)
    table: Mapping[str, object] = {**TASKS, **TASK_SETS} if isinstance(tasks, str) else TASKS
    for name in names:
        if name not in TASKS:
            raise ValueError(f"{argument}: {unknown_name('task', name, table)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{argument}={tasks!r}: expected one task or more, each once.")
    return names
