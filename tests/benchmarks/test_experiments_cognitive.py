"""What a single run on cognitive tasks measures and draws."""

from __future__ import annotations

import numpy as np
import pytest

import plastic_agents
import plastic_envs
from plastic_agents.runner.config import RunConfig
from plastic_agents.runner.history import Curve
from plastic_agents.runner.results import Results
from plastic_agents.runner.task_reports import cognitive as experiment
from plastic_agents.runner.task_reports import experiment_of


@pytest.mark.parametrize(
    ("agent", "env", "kwargs"),
    [
        ("mpn", "Cognitive-everything-vector-v0", {"tasks": ["fdgo", "dmsgo"]}),
        ("gru", "Cognitive-delaygo-v0", {}),
        ("oracle", "Cognitive-dm1-v0", {}),
    ],
)
def test_measurements_and_figures(agent, env, kwargs):
    config = RunConfig(agent=agent, env=env, env_kwargs=kwargs, device="cpu")
    task = plastic_envs.make_task(env, **kwargs)
    assert experiment_of(task) is experiment
    sizes = {} if agent == "oracle" else {"hidden_size": 6}
    player = plastic_agents.make(agent, task, device="cpu", **sizes)
    metrics, arrays = experiment.measure(player, config)
    several = len(task.components)
    assert ("accuracy_worst" in metrics) == (several > 0)
    assert arrays["trials/answers"].shape[1] == (several or 4)
    curves = {f"eval/{n}": Curve(np.arange(3), np.array([0.1, 0.5, 0.9])) for n in ("accuracy_trial",)}
    run = Results(config, {**metrics, "score": 0.5, "chance": task.chance}, curves, arrays)
    found = experiment.figures(run, [run])
    assert [name for name, _, _ in found] == ["accuracies", *(["by_task"] if several else []), "trials"]
    for _, caption, figure in found:
        assert caption.endswith(".")
        figure.draw_without_rendering()
    assert experiment.figures(Results(config, run.metrics), [run]) == []
