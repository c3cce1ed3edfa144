"""Published systems, one study each: its runs, and a table and figures of their results.

A new study is a module that ends with `STUDY = Study(...)`, and a line in `STUDIES`; see
`benchmarks.studies.study`.
"""

from __future__ import annotations

import importlib

from benchmarks.studies.study import Study
from plastic_envs.arguments import unknown_name
from plastic_envs.naming import imported, is_name

__all__ = ["STUDIES", "study"]

STUDIES: dict[str, str] = {
    "graph-walk": "benchmarks.studies.graph_walk",
    "every-agent": "benchmarks.studies.every_agent",
    "sensorimotor": "benchmarks.studies.sensorimotor.learning_to_learn",
    "stimulus-coding": "benchmarks.studies.stimulus_coding",
    "transitive-inference": "benchmarks.studies.transitive.inference",
    "one-task": "benchmarks.studies.cognitive.one_task",
    "two-task": "benchmarks.studies.cognitive.two_task",
    "everything": "benchmarks.studies.cognitive.everything",
    "ring": "benchmarks.studies.cognitive.ring",
    "transfer": "benchmarks.studies.cognitive.transfer",
    "flex": "benchmarks.studies.cognitive.flex",
    "integration": "benchmarks.studies.cognitive.integration",
}
"""Modules by the name of their study."""


def study(name: str) -> Study:
    """The study of that name, or one of your own: "module:Name" or "path/to/file.py:Name" of a `Study`.

    Raises:
        ValueError: If there is none (with the nearest names).
        TypeError: If the name is not of a study.
    """
    if is_name(name):
        own = imported(name)
        if not isinstance(own, Study):
            raise TypeError(f"study {name!r}: got {own!r}; expected a benchmarks.studies.study.Study.")
        return own
    if name not in STUDIES:
        raise ValueError(unknown_name("study", name, STUDIES))
    subject: Study = importlib.import_module(STUDIES[name]).STUDY
    return subject
