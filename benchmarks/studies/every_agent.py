"""Every agent on every system's main task, with a small budget: kinds of plasticity by task.

The scores compare across tasks as normalised scores: 0 is chance, 1 the task's oracle. Budgets are a minute
or so of CPU time a run, the same settings for all agents that learn in the same way; a blank says that the
pair makes no sense, and the table says why. These are no agent's best scores: those are in the systems' own
studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import plastic_agents
import plastic_envs
from benchmarks.studies.rows import rows_of
from benchmarks.studies.sensorimotor.learning_to_learn import IN_CONTEXT_TASK
from benchmarks.studies.study import Drawn, Groups, Planned, Row, Study, merged
from plastic_agents.registry import learner_class
from plastic_agents.runner.figures import styled

# Main task of every system -> (what it is called, settings of its runs). `updates` are for the agents that
# follow a gradient; agents that step slowly, or need many updates, have their own below.
TASKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "PlasticGraph-disjoint-v0": ("graph walk", {"updates": 300, "eval_episodes": 200}),
    "TransitiveInference-v0": ("transitive inference", {"updates": 400, "eval_episodes": 400}),
    "StimulusCoding-estimation-v0": (
        "stimulus coding",
        {"updates": 80, "learner": {"batch_size": 4}, "eval_episodes": 24},
    ),
    # A block of short trials, of which only the responses are learned; see docs/sensorimotor.md.
    "SensorimotorAssociation-block-v0": (
        "association in context",
        {
            "env_kwargs": IN_CONTEXT_TASK,
            "updates": 800,
            "learner": {"batch_size": 64, "learning_rate": 3e-3},
            "eval_episodes": 400,
        },
    ),
    "Cognitive-everything-v0": (
        "15 cognitive tasks",
        {"updates": 400, "learner": {"learning_rate": 3e-3}, "eval_episodes": 600},
    ),
}
_OWN: dict[tuple[str, str], Mapping[str, Any]] = {
    ("neuromodulated", "PlasticGraph-disjoint-v0"): {"updates": 40},
    ("transformer", "PlasticGraph-disjoint-v0"): {"updates": 150},
    ("three-factor", "PlasticGraph-disjoint-v0"): {"updates": 60},
    ("transformer", "TransitiveInference-v0"): {"updates": 100},
    ("three-factor", "TransitiveInference-v0"): {"updates": 100},
    ("three-factor", "StimulusCoding-estimation-v0"): {"updates": 260, "learner": {"batch_size": 50}},
    # A window of one trial: what it sees at the response reaches back to the image.
    ("plastic", "SensorimotorAssociation-block-v0"): {"updates": 300, "agent_kwargs": {"window": 4}},
    ("neuromodulated", "SensorimotorAssociation-block-v0"): {
        "method": "supervised",
        "updates": 400,
        "agent_kwargs": {"hidden_size": 32},
    },
    ("transformer", "SensorimotorAssociation-block-v0"): {"updates": 300},
    ("three-factor", "SensorimotorAssociation-block-v0"): {"updates": 60},
    ("neuromodulated", "Cognitive-everything-v0"): {"updates": 40, "method": "supervised"},
    ("transformer", "Cognitive-everything-v0"): {"updates": 100},
    ("three-factor", "Cognitive-everything-v0"): {"updates": 60},
}
_TASK_OF_REWARD = "TransitiveInference-v0"  # where all that can learn from reward does


def _reason(agent: str, env_id: str) -> str | None:
    """The reason why an agent cannot play a task, or None if it can."""
    try:
        plastic_agents.make(agent, plastic_envs.make_task(env_id), device="cpu")
    except (ValueError, LookupError) as error:
        return str(error)
    return None


def _pairs() -> list[tuple[str, str]]:
    return [(agent, env_id) for env_id in TASKS for agent in plastic_agents.AGENTS]


def _plan() -> list[Planned]:
    """One run for every pair that makes sense."""
    return [
        Planned(f"{env_id}-{agent}", {"agent": agent, "env": env_id, **_settings(agent, env_id)})
        for agent, env_id in _pairs()
        if _reason(agent, env_id) is None
    ]


def _settings(agent: str, env_id: str) -> dict[str, Any]:
    """The task's settings and the pair's own, without those that the agent or its learner does not have."""
    own = merged(TASKS[env_id][1], _OWN.get((agent, env_id), {}))
    spec = plastic_agents.AGENTS[agent]
    if spec.kind != "network":
        return {name: value for name, value in own.items() if name in ("env_kwargs", "eval_episodes")}
    if env_id == _TASK_OF_REWARD and spec.method == "supervised":
        own["method"] = "actor-critic"
    names = {f.name for f in fields(learner_class(agent, own.get("method")).Config)}
    own["learner"] = {name: value for name, value in own.get("learner", {}).items() if name in names}
    return own


def _table(results: Groups) -> list[Row]:
    """Score, normalised score and CPU time of every pair; pairs that make no sense say why."""
    rows: list[Row] = []
    for agent, env_id in _pairs():
        title = f"{TASKS[env_id][0]}, {agent}: "
        if runs := results.get(f"{env_id}-{agent}"):
            entries = [
                (runs[0].metrics["score_name"], "", "score"),
                ("normalised", "", "normalized_score"),
                ("CPU seconds", "", "train_seconds"),
            ]
            rows += rows_of(runs, title, entries)
        elif (reason := _reason(agent, env_id)) is not None:
            rows.append(Row(f"{title}makes no sense: {reason}", "", float("nan"), None, 0))
    return rows


def _figures(results: Groups) -> list[Drawn]:
    """Agents against tasks, as colours and numbers."""
    scores = np.full((len(plastic_agents.AGENTS), len(TASKS)), np.nan)
    for i, agent in enumerate(plastic_agents.AGENTS):
        for j, env_id in enumerate(TASKS):
            if runs := results.get(f"{env_id}-{agent}"):
                scores[i, j] = np.mean([run.metrics["normalized_score"] for run in runs])
    caption = (
        "Normalised score after a minute or so of training: 0 is chance, 1 the task's oracle. Blank: the "
        "pair makes no sense."
    )
    return [("every_agent", caption, _grid(scores))]


@styled
def _grid(scores: npt.NDArray[np.float64]) -> Figure:
    agents, tasks = list(plastic_agents.AGENTS), [name for name, _ in TASKS.values()]
    figure = Figure(figsize=(2.2 + 1.5 * len(tasks), 1.0 + 0.36 * len(agents)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.clip(scores, 0.0, 1.0), cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
    for (i, j), score in np.ndenumerate(scores):
        if np.isfinite(score):
            ink = "black" if score > 0.55 else "white"
            axes.text(j, i, f"{score:.2f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_yticks(range(len(agents)), agents)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label="normalised score")
    return figure


STUDY = Study(
    "every-agent",
    "every agent on every system's main task, normalised scores on one scale",
    _plan,
    _table,
    _figures,
)
