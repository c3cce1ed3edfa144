"""A plastic recurrent network that controls the changes of its own weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import nn

from plastic_agents.networks.base import Network, Recording, Stream
from plastic_agents.networks.neuromodulated.kernel import TRIAL_STEPS, TrialTape, end_trace
from plastic_agents.networks.neuromodulated.rule import (
    CLIP,
    ModulatedWeights,
    PlasticState,
    Segment,
    finished,
    modulation,
    run,
    run_loop,
    segments,
)
from plastic_envs.arguments import Range, Size, checked


class Neuromodulated(Network[PlasticState]):
    """A recurrent layer with Hebbian traces, written into its weights by its own modulator.

    Per row of the batch, n units:

        h' = tanh(W_in x + b_in + (w + alpha * P) h),   outputs = W_out h' + b_out,   value = W_v h' + b_v
        m  = g (d_0 - d_1),  d = tanh(W_mod h' + b_mod);   P' = clip(P + m E, -50, 50)   (old trace)
        E' = (1 - eta) E + eta tanh(h' h^T)

    Plastic weights P are the fast weights; activity h and trace E are activity, put to zero by a reset. eta
    and g are free numbers (eta may end above 1). Flipping the signs of alpha and g together changes nothing.

    Where resets cut the sequence into trials of four steps, these take a fast path that gives the same
    numbers and gradients within round-off and can be differentiated once; see
    `plastic_agents.networks.neuromodulated.kernel`. `path="loop"` is the rule, step by step.

    Args:
        input_size: I, length of an observation.
        hidden_size: n.
        num_outputs: O, scores of the actions.
        plasticity: Whether alpha is one number per connection ("connection"), per receiving unit ("unit"), or
            for all ("one").
        clip: Largest size of a plastic weight.
        path: "fast" or "loop".
        keep_activity: Ignore resets of activity and trace.
        trace_rate: eta at the start; it is trained. The published networks start at 0.7 and end above 1.
        plasticity_range: alpha is drawn between minus this and this; it is trained. The published networks
            start at 0.01. With 0.1 what is written matters from the first update on, and learning finds the
            active solution sooner and more often.

    Source:
        Miconi & Kay, Nature Neuroscience 28, 2025, as in the released networks. (The article writes m linear
        and the trace without tanh; the released networks need the form above.)
    """

    fast_weights: ClassVar[tuple[str, ...]] = ("weights",)
    value: nn.Module

    @checked
    def __init__(
        self,
        input_size: int,
        hidden_size: Size,
        num_outputs: int,
        plasticity: Literal["connection", "unit", "one"] = "connection",
        clip: Annotated[float, Range(1e-6, 1e6)] = CLIP,
        path: Literal["fast", "loop"] = "fast",
        keep_activity: bool = False,
        trace_rate: Annotated[float, Range(-10, 10)] = 0.7,
        plasticity_range: Annotated[float, Range(0, 1000)] = 0.01,
    ) -> None:
        super().__init__()
        n = hidden_size
        shapes = {"connection": (n, n), "unit": (n, 1), "one": (1, 1)}
        self.input_size, self.num_features, self.num_outputs = input_size, n, num_outputs
        self.clip, self.path, self.keep_activity = clip, path, keep_activity
        self.encode = nn.Linear(input_size, n)
        self.recurrent = nn.Parameter(torch.empty(n, n).uniform_(-1 / math.sqrt(n), 1 / math.sqrt(n)))  # w
        spread = plasticity_range
        self.plasticity = nn.Parameter(torch.empty(shapes[plasticity]).uniform_(-spread, spread))  # alpha
        self.trace_rate = nn.Parameter(torch.tensor([float(trace_rate)]))  # eta
        self.gain = nn.Parameter(torch.tensor([1.0]))  # g
        self.modulator = nn.Linear(n, 2)
        self.readout = nn.Linear(n, num_outputs)
        self.value = nn.Linear(n, 1)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> PlasticState:
        """Zeros; nothing is drawn."""
        zeros, n = self.recurrent.new_zeros, self.num_features
        return PlasticState(zeros(batch_size, n), zeros(batch_size, n, n), zeros(batch_size, n, n))

    def slow_weights(self) -> ModulatedWeights:
        """The trained weights of the recurrent layer."""
        return ModulatedWeights(
            self.recurrent,
            self.plasticity.expand_as(self.recurrent),
            self.trace_rate,
            self.gain,
            self.modulator.weight,
            self.modulator.bias,
        )

    def modulation(self, features: torch.Tensor) -> torch.Tensor:
        """The modulator m (...,) that goes with activities (..., n)."""
        return modulation(features, self.slow_weights())

    def _features(
        self, inputs: torch.Tensor, state: PlasticState, resets: torch.Tensor | None
    ) -> tuple[torch.Tensor, PlasticState]:
        """Activities (T, B, n) and the state; see `Network.run`."""
        drives = self.encode(inputs)
        return run(drives, state, self.slow_weights(), resets, self.clip, path=self.path)

    def stream(
        self,
        state: PlasticState,
        resets: torch.Tensor | None = None,
        *,
        record: bool = False,
        gates: torch.Tensor | None = None,
    ) -> NeuromodulatedStream:
        """Begin a sequence whose inputs come one at a time; see `Network.stream`.

        Args:
            state: State before the first step, B rows.
            resets: (T, B) bool for the whole of the sequence to come; None: nowhere.
            record: Whether `Stream.recorded` will be called.
            gates: (T, B), factors on the modulator, for experiments such as plasticity that is switched off;
                None: 1.
        """
        return NeuromodulatedStream(self, state, resets, record=record, gates=gates)


class NeuromodulatedStream(Stream[PlasticState]):
    """A stream that keeps its steps' results, so that gradients need no second pass through the trials.

    Args:
        network: The network.
        state: State before the first step, B rows.
        resets: (T, B) bool; None: nowhere.
        record: Whether `recorded` will be called.
        gates: (T, B), factors on the modulator; None: 1.
    """

    network: Neuromodulated

    def __init__(
        self,
        network: Neuromodulated,
        state: PlasticState,
        resets: torch.Tensor | None,
        *,
        record: bool,
        gates: torch.Tensor | None,
    ) -> None:
        resets = None if network.keep_activity else resets
        super().__init__(network, state, resets, record=record)
        self._gates = gates
        self._slow = ModulatedWeights(*(tensor.detach() for tensor in network.slow_weights()))
        self._segments: list[Segment] = []
        if resets is not None and network.path == "fast":
            self._segments = [
                part for part in segments(resets, state.weights.new_empty(len(resets), 0)) if part.is_trials
            ]
        self._tapes: dict[Segment, TrialTape] = {}
        self._part: Segment | None = None  # the one that the next step belongs to, if it consists of trials
        self._trial: list[torch.Tensor] = []  # inputs of the units since the last trial began

    @property
    @torch.no_grad()
    def state(self) -> PlasticState:
        """The state after the last step fed. Asking for it within a trial costs the trial's steps."""
        if self._part is None or not self._tapes[self._part].activities:
            return self._state
        tape, steps = self._tapes[self._part], len(self._trial)
        if steps == TRIAL_STEPS:
            last = torch.stack(tape.activities[-TRIAL_STEPS:])
            return PlasticState(last[-1], end_trace(last, self._slow), tape.weights.clone())
        gates = None if self._gates is None else self._gates[self._steps - steps : self._steps]
        rest = PlasticState(
            torch.zeros_like(self._state.activity), torch.zeros_like(self._state.trace), tape.weights
        )
        return run_loop(torch.stack(self._trial), rest, self._slow, None, self.network.clip, gates)[1]

    @torch.no_grad()
    def step(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (B, O) for the next inputs (B, I)."""
        t, network = self._steps, self.network
        gate = None if self._gates is None else self._gates[t : t + 1]
        drive = network.encode(inputs)
        if self._part is None and self._segments and self._segments[0].first == t:
            self._part = part = self._segments.pop(0)
            gates = None if self._gates is None else self._gates[part.first : part.last]
            self._tapes[part] = TrialTape(self._state.weights, self._slow, network.clip, gates)
        if self._part is not None:
            activity = self._tapes[self._part].step(drive)
            self._trial = [drive] if len(self._trial) == TRIAL_STEPS else [*self._trial, drive]
        else:
            resets = None if self._resets is None else self._resets[t : t + 1]
            activities, self._state = run_loop(
                drive[None], self._state, self._slow, resets, network.clip, gate
            )
            activity = activities[0]
        self._steps += 1
        if self._record:
            self._inputs.append(inputs)
        if self._part is not None and self._part.last == self._steps:
            self._state = self._end(self._part, None, self._state, self._slow)[1]
            if not self._record:
                self._tapes.clear()
            self._part, self._trial = None, []
        return network.readout(activity)  # type: ignore[no-any-return]

    def _end(
        self, part: Segment, drives: torch.Tensor | None, state: PlasticState, slow: ModulatedWeights
    ) -> tuple[torch.Tensor, PlasticState]:
        """Activities and state of finished trials, with gradients if the drives (T, B, n) are given."""
        tape, gates = self._tapes[part], self._gates
        gates = None if gates is None else gates[part.first : part.last]
        nothing = self._state.weights.new_empty(0)
        return finished(
            tape, nothing if drives is None else drives, state.weights, slow, self.network.clip, gates,
            with_gradients=drives is not None,
        )  # fmt: skip

    def recorded(self) -> Recording[PlasticState]:
        """The sequence fed so far, with gradients to the network's parameters.

        Raises:
            RuntimeError: If nothing was recorded, or the last trial is not over.
        """
        if not self._inputs or self._part is not None:
            raise RuntimeError(
                f"{len(self._inputs)} steps were recorded, expected some, up to the end of a trial; pass "
                "record=True and feed the trial's remaining steps."
            )
        network, state, pieces, done = self.network, self._start, list[torch.Tensor](), 0
        drives, slow = network.encode(torch.stack(self._inputs)), network.slow_weights()
        for part in [*self._tapes, Segment(self._steps, self._steps, True)]:
            if done < part.first:  # steps that belong to no trial
                now = slice(done, part.first)
                activities, state = run_loop(
                    drives[now], state, slow, None if self._resets is None else self._resets[now],
                    network.clip, None if self._gates is None else self._gates[now],
                )  # fmt: skip
                pieces.append(activities)
            if part in self._tapes:
                activities, state = self._end(part, drives[part.first : part.last], state, slow)
                pieces.append(activities)
            done = part.last
        features = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        return Recording(network.readout(features), features, state)


_PUBLISHED = {
    "w": "recurrent", "alpha": "plasticity", "etaet": "trace_rate", "DAmult": "gain",
    "i2h.weight": "encode.weight", "i2h.bias": "encode.bias",
    "h2DA.weight": "modulator.weight", "h2DA.bias": "modulator.bias",
    "h2o.weight": "readout.weight", "h2o.bias": "readout.bias",
    "h2v.weight": "value.weight", "h2v.bias": "value.bias",
}  # fmt: skip
"""Names in the published checkpoints, and ours."""


def published_weights(content: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
    """The state dict of a `Neuromodulated` from that of a published network.

    Args:
        content: Content of the file: `w`, `alpha` (n, n); `etaet`, `DAmult` (1,); `i2h.weight` (n, I),
            `i2h.bias`; `h2DA.weight` (2, n), `h2DA.bias`; `h2o.weight` (O, n), `h2o.bias`; `h2v.weight` (1,
            n), `h2v.bias`.

    Returns:
        The weights under our names; None if the file has none of those that only this format has.

    Raises:
        ValueError: If entries are missing, unknown, or of shapes that do not fit together.
    """
    if not {"etaet", "DAmult", "h2DA.weight"} & set(content):
        return None
    missing, unknown = sorted(set(_PUBLISHED) - set(content)), sorted(set(content) - set(_PUBLISHED))
    if missing or unknown:
        raise ValueError(
            f"a published neuromodulated network has the entries {sorted(_PUBLISHED)}; "
            f"missing here: {missing}, unknown: {unknown}. Save the network's whole state_dict() only."
        )
    shapes = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in content.items()}
    n, size = (*shapes["i2h.weight"], 0, 0)[:2]
    actions = (*shapes["h2o.weight"], 0)[0]
    expected = {
        "w": (n, n), "alpha": (n, n), "etaet": (1,), "DAmult": (1,),
        "i2h.weight": (n, size), "i2h.bias": (n,), "h2DA.weight": (2, n), "h2DA.bias": (2,),
        "h2o.weight": (actions, n), "h2o.bias": (actions,), "h2v.weight": (1, n), "h2v.bias": (1,),
    }  # fmt: skip
    wrong = {name: (shapes[name], shape) for name, shape in expected.items() if shapes[name] != shape}
    if wrong:
        raise ValueError(
            "entries of a published neuromodulated network do not fit together, as {name: (got, expected)}: "
            f"{wrong}; sizes are read from i2h.weight (units, inputs) and h2o.weight (actions, units)."
        )
    return {ours: content[name].detach().float() for name, ours in _PUBLISHED.items()}
