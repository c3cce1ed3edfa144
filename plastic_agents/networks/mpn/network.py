"""The multi-plasticity network: no recurrence, all memory in weights that change at every step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import nn

from plastic_agents.networks.activations import ACTIVATIONS
from plastic_agents.networks.activations import activation as activation_named
from plastic_agents.networks.base import Network, Recording
from plastic_agents.networks.initial import INITIALISATIONS, initialise, initialise_vector
from plastic_agents.networks.mpn.rule import Rule, Synapses, run, run_loop, step
from plastic_envs.arguments import Positive, Range, Size, Words, check_size, checked

Bound = Annotated[float, Range(infinite=True)]
RateShape = Literal["scalar", "pre_vector", "post_vector", "matrix"]


class MPNLayer(nn.Module):
    """A linear layer with an activation, whose weights are modulated by its inputs and activity.

    `h, modulation = MPNLayer(20, 100)(x)` maps x (T, B, 20) to h (T, B, 100); see
    `plastic_agents.networks.mpn.rule` for the rule. Passing `modulation` on continues the sequence.

    Args:
        in_features: E.
        out_features: N.
        plasticity: "multiplicative", W (1 + M), or "additive", W + M.
        update: "associative", "presynaptic" or "oja"; see `rule.Rule`.
        bounds: Least and largest M (additive: as shares of each weight); None for none.
        squash: Name of g, applied to M before the bounds: "linear", "tanh", ...
        activation: Name of f.
        eta: First plasticity rate: a number, or "gaussian" (standard deviation 1 / sqrt(length), a matrix's
            1 / sqrt(E)) or "uniform" (between 0 and 1). None: 1 everywhere, for a matrix "uniform". Its sign
            is free.
        eta_shape: One number ("scalar"), one per input ("pre_vector"), per unit ("post_vector") or synapse
            ("matrix").
        eta_trained: Whether eta is trained.
        lambda_max: Largest share of M kept per step, in (0, 1]; lambda starts there (a matrix: at a share of
            it, uniform between 0 and 1), and is clamped to [0, lambda_max] by `constrain`. None:
            0.95, the published layer's default; the agent `mpn` takes 0.99, as the published experiments do.
        m_time_scale_ms: M's time constant, which gives lambda_max = 1 - dt_ms / m_time_scale_ms.
        dt_ms: Duration of a step; the agent `mpn` takes the task's own.
        lambda_shape: As `eta_shape`.
        lambda_trained: Whether lambda is trained.
        initialisation: Of W, a name in `networks.initial.INITIALISATIONS`.
        bias: Whether there is a b; Gaussian at first.
        weight_trained: Whether W is trained.
        recurrent: Add ordinary recurrence W_rec h(t - 1).
        path: "fast" (the compiled form, where it serves) or "loop".

    Attributes:
        weight: W, (N, E).
        bias: b, (N,), or None.
        eta: Scalar, (E,), (N,) or (N, E); so is `decay`, which is lambda.
        recurrent: W_rec, (N, N), or None.
        frozen: (N, E) bool, synapses whose M never changes, or None; see `freeze`.
        lambda_max: Upper end of lambda.
    """

    bias: nn.Parameter | None
    recurrent: nn.Parameter | None
    eta: torch.Tensor
    decay: torch.Tensor
    frozen: torch.Tensor | None

    @checked
    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        *,
        plasticity: Literal["multiplicative", "additive"] = "multiplicative",
        update: Literal["associative", "presynaptic", "oja"] = "associative",
        bounds: tuple[Bound, Bound] | None = (-1.0, 1.0),
        squash: Annotated[str, Words(ACTIVATIONS)] = "linear",
        activation: str = "tanh",
        eta: Annotated[float, Range(-1000, 1000)] | Literal["gaussian", "uniform"] | None = None,
        eta_shape: RateShape = "scalar",
        eta_trained: bool = True,
        lambda_max: Annotated[float, Range(0, 1, open_low=True)] | None = None,
        m_time_scale_ms: Positive | None = None,
        dt_ms: Positive = 40.0,
        lambda_shape: RateShape = "scalar",
        lambda_trained: bool = False,
        initialisation: Annotated[str, Words(INITIALISATIONS)] = "xavier",
        bias: bool = True,
        weight_trained: bool = True,
        recurrent: bool = False,
        path: Literal["fast", "loop"] = "fast",
    ) -> None:
        super().__init__()
        self.rule = Rule(plasticity, update, bounds, squash, activation)
        self.in_features, self.out_features, self.path = in_features, out_features, path
        self.lambda_max = _lambda_max(lambda_max, m_time_scale_ms, dt_ms)
        self.weight = nn.Parameter(
            initialise(torch.empty(out_features, in_features), initialisation), requires_grad=weight_trained
        )
        self.bias = nn.Parameter(initialise_vector(torch.empty(out_features))) if bias else None
        self.recurrent = (
            nn.Parameter(initialise(torch.empty(out_features, out_features))) if recurrent else None
        )
        self._shapes = {"eta": eta_shape, "decay": lambda_shape}
        self._add_rate("eta", eta_shape, eta, 1.0, eta_trained)
        self._add_rate("decay", lambda_shape, None, self.lambda_max, lambda_trained)
        self.register_buffer("frozen", None, persistent=False)

    def _add_rate(self, name: str, shape: str, first: float | str | None, full: float, trained: bool) -> None:
        """Register a rate: a parameter if it is trained or drawn, else a constant (saved too)."""
        sizes: dict[str, tuple[int, ...]] = {
            "scalar": (), "pre_vector": (self.in_features,), "post_vector": (self.out_features,),
            "matrix": (self.out_features, self.in_features),
        }  # fmt: skip
        label = "eta_shape" if name == "eta" else "lambda_shape"
        if shape not in sizes:
            raise ValueError(f"{label}={shape!r}: choose one of {', '.join(map(repr, sizes))}.")
        if isinstance(first, str) and first not in ("gaussian", "uniform"):
            raise ValueError(f"eta={first!r}: expected a number, 'gaussian' or 'uniform'.")
        if first is None and shape == "matrix":
            first = "uniform"
        values = torch.full(sizes[shape], full if first is None or isinstance(first, str) else float(first))
        if first == "uniform":
            values = full * torch.rand_like(values)
        elif first == "gaussian":
            values = full * (
                initialise(values, "gaussian") if values.dim() == 2 else initialise_vector(values)
            )
        if trained or isinstance(first, str):
            self.register_parameter(name, nn.Parameter(values, requires_grad=trained))
        else:
            self.register_buffer(name, values)

    def synapses(self) -> Synapses:
        """The slow parameters as functions take them; gradients flow through."""
        rates = []
        for name, shape in self._shapes.items():
            rate: torch.Tensor = getattr(self, name)
            # Receiving units first: () -> (1, 1), (E,) -> (1, E), (N,) -> (N, 1).
            rates.append(rate.unsqueeze(1) if shape == "post_vector" else torch.atleast_2d(rate))
        bias = self.weight.new_zeros(self.out_features) if self.bias is None else self.bias
        return Synapses(self.weight, bias, rates[0], rates[1], self.frozen, self.recurrent)

    def freeze(self, mask: torch.Tensor | None) -> None:
        """Hold M at its start from now on where the mask is true; None ends it. Not saved with the weights.

        Args:
            mask: (N, E) bool. A mask without a true entry is the same as None.
        """
        shape = (self.out_features, self.in_features)
        if mask is not None and (mask.shape != shape or mask.dtype != torch.bool):
            raise ValueError(
                f"mask: got {mask.dtype} of shape {tuple(mask.shape)}, expected bool of shape {shape}, one "
                "entry per synapse, receiving units first; pass None to freeze nothing."
            )
        self.frozen = None if mask is None or not bool(mask.any()) else mask.to(self.weight.device).clone()

    @torch.no_grad()
    def constrain(self) -> None:
        """Put lambda back between 0 and `lambda_max`; to be called after each step of an optimiser."""
        if self.decay.requires_grad:
            self.decay.clamp_(0.0, self.lambda_max)

    def initial_modulation(self, batch_size: int) -> torch.Tensor:
        """M at the start of an episode: zeros, (B, N, E)."""
        return self.weight.new_zeros(batch_size, self.out_features, self.in_features)

    def forward(
        self,
        x: torch.Tensor,
        modulation: torch.Tensor | None = None,
        previous: torch.Tensor | None = None,
        resets: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run over a sequence.

        Args:
            x: (T, B, E).
            modulation: M at the start, (B, N, E), within the bounds; None: zeros.
            previous: h before the first step, (B, N); counts with recurrence only. None: zeros.
            resets: (T, B) bool, where h is forgotten before the step. M stays.
            lengths: (B,) int64, steps of each trial; None: all T. Later steps are 0, and M stays.

        Returns:
            h (T, B, N) and M after the last step (B, N, E).
        """
        if modulation is None:
            modulation = self.initial_modulation(x.shape[1])
        path = run if self.path == "fast" else run_loop
        return path(x, modulation, self.synapses(), self.rule, previous, resets, lengths)


def _lambda_max(value: float | None, time_scale: float | None, dt: float) -> float:
    if value is not None and time_scale is not None:
        raise ValueError(
            f"lambda_max={value} and m_time_scale_ms={time_scale}: give one of them; the second means "
            "lambda_max = 1 - dt_ms / m_time_scale_ms."
        )
    if time_scale is not None:
        if not 0.0 < dt < time_scale:
            raise ValueError(
                f"dt_ms={dt}, m_time_scale_ms={time_scale}: expected a step shorter than M's time constant."
            )
        return 1.0 - dt / time_scale
    if value is None:
        return 0.95
    return value


class MPNState(NamedTuple):
    """State of `MPN`; see `MPN.modulations` for M in its own shape.

    Attributes:
        modulation: M of all layers, one after the other, (B, sum of N E).
        hidden: h of all layers, (B, depth N) with recurrence, (B, 0) without.
    """

    modulation: torch.Tensor
    hidden: torch.Tensor


class MPNStep(NamedTuple):
    """The quantities of one plastic layer at one step, without gradients.

    Attributes:
        x: (B, E).
        pre_activation: a, (B, N).
        activity: h, (B, N).
        modulation: M that the step was answered with, left by the steps before, (B, N, E).
        after: M after the step, (B, N, E).
    """

    x: torch.Tensor
    pre_activation: torch.Tensor
    activity: torch.Tensor
    modulation: torch.Tensor
    after: torch.Tensor


class MPN(Network[MPNState]):
    """Embedding, plastic layers, linear readout: x = f(W_in u), h = plastic(x), y = W_out h.

    The fast weights are M, 0 at the start of an episode; no reset touches them. There is no other memory
    unless `recurrent`, whose h is activity.

    Args:
        input_size: Length of an observation.
        hidden_size: N, units of each plastic layer.
        num_outputs: O.
        depth: Number of plastic layers, each fed by the one before.
        embedding_size: E; None: N. 0: no embedding, the first plastic layer sees the observation.
        embedding_bias: Whether the embedding has a bias.
        embedding_initialisation: Of W_in, a name in `networks.initial.INITIALISATIONS`.
        embedding_trained: Whether W_in is trained.
        readout: "trained", or a fixed "random" (as trained ones begin) or "orthogonal" one.
        readout_bias: Whether the readout has a bias.
        activation: Name of f, for the embedding and all plastic layers.
        keep_activity: Ignore resets of activity.
        **layer: Arguments of every `MPNLayer`.

    Source:
        Aitken & Mihalas, eLife 12:e83035 (2023), and its multi-task successor (embedding, bounds).
    """

    fast_weights: ClassVar[tuple[str, ...]] = ("modulation",)
    readout: nn.Linear

    @checked
    def __init__(
        self,
        input_size: int,
        hidden_size: Size,
        num_outputs: int,
        depth: Annotated[int, Range(1, 100)] = 1,
        embedding_size: Annotated[int, Range(0, 8192)] | None = None,
        embedding_bias: bool = False,
        embedding_initialisation: Annotated[str, Words(INITIALISATIONS)] = "xavier",
        embedding_trained: bool = True,
        readout: Literal["trained", "random", "orthogonal"] = "trained",
        readout_bias: bool = False,
        activation: str = "tanh",
        keep_activity: bool = False,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.num_features, self.num_outputs = hidden_size, num_outputs
        self.keep_activity = keep_activity
        size = hidden_size if embedding_size is None else embedding_size
        num_weights = input_size * size + hidden_size * ((size or input_size) + (depth - 1) * hidden_size)
        check_size(4 * num_weights, "the network", depth=depth, hidden_size=hidden_size, embedding_size=size)
        self.embedding: nn.Linear | None = None
        self._f = activation
        if size > 0:
            self.embedding = nn.Linear(input_size, size, bias=embedding_bias)
            initialise(self.embedding.weight, embedding_initialisation)
            self.embedding.weight.requires_grad_(embedding_trained)
            if embedding_bias:
                initialise_vector(self.embedding.bias)
        sizes = [size or input_size, *[hidden_size] * depth]
        self.layers = nn.ModuleList(
            MPNLayer(before, after, activation=activation, **layer)
            for before, after in itertools.pairwise(sizes)
        )
        self.readout = nn.Linear(hidden_size, num_outputs, bias=readout_bias)
        initialise(self.readout.weight, "orthogonal" if readout == "orthogonal" else "xavier")
        self.readout.weight.requires_grad_(readout == "trained")
        if readout_bias:
            initialise_vector(self.readout.bias)

    @property
    def plastic(self) -> list[MPNLayer]:
        """The plastic layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, MPNLayer)]

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> MPNState:
        """Zeros; nothing is drawn."""
        zeros = self.readout.weight.new_zeros
        synapses = sum(layer.weight.numel() for layer in self.plastic)
        units = sum(layer.out_features for layer in self.plastic if layer.recurrent is not None)
        return MPNState(zeros(batch_size, synapses), zeros(batch_size, units))

    def modulations(self, state: MPNState) -> list[torch.Tensor]:
        """M of each plastic layer, (B, N, E), first to last; views of the state's."""
        shapes = [layer.weight.shape for layer in self.plastic]
        parts = state.modulation.split([shape.numel() for shape in shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs (..., E) of the first plastic layer for observations (..., I)."""
        return inputs if self.embedding is None else activation_named(self._f)(self.embedding(inputs))

    def _features(
        self,
        inputs: torch.Tensor,
        state: MPNState,
        resets: torch.Tensor | None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, MPNState]:
        """Activity (T, B, N) of the last layer and the state; see `Network.run`.

        Args:
            inputs: (T, B, I).
            state: State before the first step.
            resets: (T, B) bool, or None.
            lengths: (B,) int64, see `MPNLayer.forward`; None: all T.
        """
        activity, ends, hidden = self.embed(inputs), [], []
        before = self._previous(state)
        for layer, start, previous in zip(self.plastic, self.modulations(state), before, strict=True):
            activity, end = layer(activity, start, previous, resets, lengths)
            ends.append(end.flatten(1))
            if previous is not None:
                hidden.append(activity[-1])
        modulation = ends[0] if len(ends) == 1 else torch.cat(ends, dim=1)
        return activity, MPNState(modulation, torch.cat(hidden, dim=1) if hidden else state.hidden)

    def run(
        self,
        inputs: torch.Tensor,
        state: MPNState | None = None,
        resets: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> Recording[MPNState]:
        """See `Network.run`; after a row's length its activity is 0, and its M stays."""
        features, state = self._features(inputs, *self._start(inputs, state, resets), lengths)
        return Recording(self.readout(features), features, state)

    def _previous(self, state: MPNState) -> list[torch.Tensor | None]:
        """Each layer's h before the first step, None without recurrence."""
        if state.hidden.shape[1] == 0:
            return [None] * len(self.layers)
        return list(state.hidden.split(self.num_features, dim=1))

    @torch.no_grad()
    def watch(self, inputs: torch.Tensor, state: MPNState | None = None) -> Iterator[list[MPNStep]]:
        """Run step by step and yield every layer's quantities, for analyses that keep sums, not histories.

        Args:
            inputs: (T, B, I).
            state: State before the first step; None: the start of an episode.

        Yields:
            For each step, one `MPNStep` per plastic layer. Nothing of it is changed later.
        """
        state = self.initial_state(inputs.shape[1]) if state is None else state
        modulations, previous = self.modulations(state), self._previous(state)
        for x in self.embed(inputs):
            steps, layer_input = [], x
            for n, layer in enumerate(self.plastic):
                before = modulations[n]
                a, h, modulations[n] = step(layer_input, before, layer.synapses(), layer.rule, previous[n])
                steps.append(MPNStep(layer_input, a, h, before, modulations[n]))
                if previous[n] is not None:
                    previous[n] = h
                layer_input = h
            yield steps

    def constrain(self) -> None:
        """Put every lambda back between 0 and its largest value."""
        for layer in self.plastic:
            layer.constrain()

    def penalised_parameters(self) -> list[nn.Parameter]:
        """W_in, W, W_rec and W_out where trained; neither biases nor the rates eta and lambda."""
        rates = {id(rate) for layer in self.plastic for rate in (layer.eta, layer.decay)}
        return [weight for weight in super().penalised_parameters() if id(weight) not in rates]
