"""A study: which networks follow a bandit's changes, over three seeds each."""

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.studies.study import Planned, Row, Study

_BANDIT = f"{Path(__file__).with_name('bandit.py')}:ReversalBandit"
_AGENTS = ("gru", "plastic", "transformer")


def _plan():
    settings = {"env": _BANDIT, "updates": 200}
    return [Planned(agent, {"agent": agent, **settings}, seeds=(0, 1, 2)) for agent in _AGENTS]


def _table(groups):
    return [
        Row.of(f"normalised score, {name}", "", [run.value("normalized_score") for run in runs])
        for name, runs in groups.items()
    ]


def _figures(groups):
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    for place, runs in enumerate(groups.values()):
        axes.plot([place] * len(runs), [run.value("score") for run in runs], "o")
    axes.set(xticks=range(len(groups)), xticklabels=groups, ylabel="accuracy", ylim=(0.4, 1))
    return [("scores", "Accuracy of each network; a dot is a seed.", figure)]


STUDY = Study("memory", "networks that follow a bandit's changes", _plan, _table, _figures)
