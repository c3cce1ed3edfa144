"""Test conditions of the transitive-inference study, as data.

References are to Miconi & Kay, Nature Neuroscience 28, 2025. All are played on 8 items, unless they say
otherwise, with answers drawn from the policy, feedback and plasticity on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plastic_agents.analysis.playing import Intervention
from plastic_agents.networks.neuromodulated.rule import PlasticState
from plastic_envs.transitive.schedules import FEEDBACK, Layout

NUM_ITEMS = 8
NUM_TRAIN = 20
_FEW = 400  # episodes where no trial can take the fast path


@dataclass(frozen=True)
class Condition:
    """A way to test a network.

    Attributes:
        label: Name in tables.
        task: Arguments of `TransitiveInference` that differ from the standard test's.
        episodes: Number of episodes.
        intervene: Changes to the network, as a function of the episode's layout; None: none. Needs a
            network with plastic weights and a modulator.
    """

    label: str
    task: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 1000
    intervene: Callable[[Layout], Intervention] | None = None


def _gated(closed: Callable[[Layout], npt.NDArray[np.bool_]]) -> Callable[[Layout], Intervention]:
    """The modulator is 0 in some of the steps."""

    def intervene(layout: Layout) -> Intervention:
        return Intervention(gates=np.where(closed(layout), 0.0, 1.0).astype(np.float32))

    return intervene


def _at_trials(
    edit: Callable[[PlasticState], PlasticState], resets: bool
) -> Callable[[Layout], Intervention]:
    """The state is edited before every trial but the first."""

    def intervene(layout: Layout) -> Intervention:
        return Intervention(edit=edit, edit_before=layout.starts[1:].tolist(), ignores_resets=not resets)

    return intervene


def _forget_weights(state: PlasticState) -> PlasticState:
    return state._replace(weights=torch.zeros_like(state.weights))


def _forget_trace(state: PlasticState) -> PlasticState:
    return state._replace(trace=torch.zeros_like(state.trace))


def _forget_activity(state: PlasticState) -> PlasticState:
    return state._replace(activity=torch.zeros_like(state.activity))


def _linking(label: str, name: str = "linking", episodes: int = 4000, **arguments: Any) -> Condition:
    return Condition(label, {"schedule": (name, arguments)}, episodes)


CONDITIONS: dict[str, Condition] = {
    "linking": _linking("list linking"),
    "linking-second-first": _linking("list linking, E-H before A-D", second_list_first=True),
    "sham": _linking("sham (B, C once, sides fixed)", "sham", pair=(1, 2)),
    "sham-EF": _linking("sham (E, F once, sides fixed)", "sham", 2000, pair=(4, 5)),
    "matched-sham": _linking("matched sham (B, C four times, random sides)", "matched_sham", pair=(1, 2)),
    "massed": Condition(
        "20 massed trials of D, E, sides fixed", {"schedule": ("massed", {"num_massed": 20})}
    ),
    "massed-balanced": Condition(
        "20 massed trials of D, E, random sides",
        {"schedule": ("massed", {"num_massed": 20, "sides": "random"})},
    ),
    "restricted": Condition("restricted test, 7 items", {"num_items": 7, "schedule": "restricted_test"}),
    "no-feedback-write": Condition(
        "modulator 0 at the feedback step", intervene=_gated(lambda layout: layout.step == FEEDBACK)
    ),
    "no-delay-write": Condition(
        "modulator 0 at the delay step", intervene=_gated(lambda layout: layout.step > FEEDBACK)
    ),
    "no-test-write": Condition(
        "plasticity off from trial 20 on", intervene=_gated(lambda layout: layout.trial >= NUM_TRAIN)
    ),
    "weights-reset": Condition(
        "plastic weights 0 at every trial", intervene=_at_trials(_forget_weights, resets=True)
    ),
    "nothing-reset": Condition(
        "activity and trace kept between trials", {}, _FEW, lambda _: Intervention(ignores_resets=True)
    ),
    "activity-kept": Condition(
        "activity kept between trials, trace reset", {}, _FEW, _at_trials(_forget_trace, resets=False)
    ),
    "trace-kept": Condition(
        "trace kept between trials, activity reset", {}, _FEW, _at_trials(_forget_activity, resets=False)
    ),
}
"""By name. What every agent can be put through comes without an intervention."""

WITHHELD_TRIAL = 18

WITHHELD: dict[str, Mapping[str, Any]] = {
    "DE": {"pair": (3, 4)},
    "CD": {"pair": (2, 3)},
    "EF": {"pair": (4, 5)},
    "DE, never CD": {"pair": (3, 4), "never": ((2, 3),)},
    "DE, never EF": {"pair": (3, 4), "never": ((4, 5),)},
}
"""Arguments of the `withheld_pair` schedule: the pair is first shown at trial 18."""
