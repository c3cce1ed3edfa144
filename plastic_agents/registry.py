"""The tables of agents and learners. Others join them by `register`, or are named as "file.py:Name"."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import torch
from gymnasium import spaces
from torch.overrides import TorchFunctionMode

from plastic_agents.agent import Agent, NetworkAgent, resolve_device
from plastic_agents.learners.actor_critic import ActorCriticLearner
from plastic_agents.learners.base import Learner, LearnerConfig
from plastic_agents.learners.problem_sequence import ProblemSequenceLearner
from plastic_agents.learners.supervised import SupervisedLearner
from plastic_agents.learners.three_factor import ThreeFactorLearner
from plastic_agents.networks.base import Network
from plastic_agents.networks.delta_rule.network import Binding, BoundFastWeights, FreeFastWeights
from plastic_agents.networks.leaky_rnn import LeakyRNN
from plastic_agents.networks.leaky_softplus.network import LeakySoftplus
from plastic_agents.networks.mpn.network import MPN, MPNLayer
from plastic_agents.networks.neuromodulated.network import Neuromodulated, published_weights
from plastic_agents.networks.normalised_hebb.network import PublishedPlastic
from plastic_agents.networks.published_gru import PublishedGRU
from plastic_agents.networks.recurrent import TorchRecurrent
from plastic_agents.networks.three_factor.network import NoisyRates
from plastic_agents.networks.transformer import CausalTransformer
from plastic_agents.policy_agent import PolicyAgent
from plastic_agents.seeding import global_generator
from plastic_envs.arguments import Seed, check_argument, check_size, unknown_name, unknown_names
from plastic_envs.episodes import Association
from plastic_envs.naming import absolute, at_hand, imported, is_name, name_of
from plastic_envs.registry import make_task
from plastic_envs.task import Task

__all__ = [
    "AGENTS",
    "LEARNERS",
    "AgentSpec",
    "agent_spec",
    "check_at_hand",
    "learner_class",
    "learner_defaults",
    "make",
    "network_shapes",
    "register",
    "registered_by_others",
]


class Foreign(NamedTuple):
    """A file format of another system that holds one of our networks.

    Attributes:
        read: Takes what the file holds; returns the network's arguments and its state dict, or None if the
            file is of another kind. Raises a ValueError that says what is wrong if it is of this kind and
            damaged.
        env: Id of the environment that such networks are made for.
    """

    read: Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, torch.Tensor]] | None]
    env: str


@dataclass(frozen=True)
class AgentSpec:
    """Specification of an agent: its network, its learner and their settings.

    Attributes:
        description: One line for `--help`.
        build: Makes the network for a task, with the agent's own arguments as keywords; None for an agent
            that has none.
        arguments: Keywords that this name fixes or starts from.
        learner: Settings of the learner that differ from its defaults.
        method: Name in `LEARNERS` of the learner it is trained with unless another is asked for.
        kind: "network", or which policy an agent without a network plays.
        foreign: A format of others' files that `load` reads as this agent.
        networks: Classes whose arguments `build` passes on; none: `build` names all that it takes.
    """

    description: str
    build: Callable[..., Network[Any]] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    learner: Mapping[str, Any] = field(default_factory=dict)
    method: str = "supervised"
    kind: Literal["network", "oracle", "random"] = "network"
    foreign: Foreign | None = None
    networks: tuple[type[Any], ...] = ()

    def accepted(self) -> set[str] | None:
        """Names of the network's arguments that `make` takes; None: `build` alone knows."""
        assert self.build is not None
        makers: list[Callable[..., Any]] = [self.build, *self.networks]
        takes = [p for f in makers for p in inspect.signature(f).parameters.values()]
        if not self.networks and any(p.kind is p.VAR_KEYWORD for p in takes):
            return None
        return {p.name for p in takes if p.kind is not p.VAR_KEYWORD} - _FROM_TASK


# Arguments of networks that follow from the task.
_FROM_TASK = {
    "task", "input_size", "num_outputs", "in_features", "out_features", "binding", "cue", "outcome",
    "chained",
}  # fmt: skip


def _num_outputs(task: Task) -> int:
    space = task.action_space
    return int(space.n) if isinstance(space, spaces.Discrete) else int(torch.Size(space.shape).numel())


def _association(task: Task, network: str) -> Association:
    if task.association is None:
        raise ValueError(
            f"{network} binds cues to outcomes, and {type(task).__name__} names no such fields in its "
            "observation; take 'plastic', which learns its keys from whole observations."
        )
    return task.association


def _fast_weights(task: Task, **arguments: Any) -> Network[Any]:
    size, outputs = task.observation_space.shape[0], _num_outputs(task)
    if task.association is None:
        return FreeFastWeights(size, outputs, **arguments)
    names = task.association.cue
    outcome = task.field(task.association.outcome)
    exchange = [i for i, name in enumerate(names) if task.field(name).vocabulary == outcome.vocabulary]
    binding = Binding(
        cue=tuple(task.field(name).slice for name in names),
        outcome=outcome.slice,
        exchange=exchange[0] if exchange else None,
        chained=task.association.chained,
    )
    return BoundFastWeights(size, outputs, binding, **arguments)


def _published(task: Task, hidden_size: int = 128, **arguments: Any) -> Network[Any]:
    association = _association(task, "plastic-published")
    cue = [task.field(name).slice for name in association.cue]
    outcome = cue[0] if association.chained else task.field(association.outcome).slice
    return PublishedPlastic(
        task.observation_space.shape[0], hidden_size, _num_outputs(task),
        cue=cue, outcome=outcome, chained=association.chained, **arguments,
    )  # fmt: skip


def _recurrent(
    task: Task,
    cell: Literal["rnn", "gru", "lstm"],
    hidden_size: int = 128,
    history: int = 0,
    keep_activity: bool = False,
) -> Network[Any]:
    return TorchRecurrent(
        task.observation_space.shape[0], hidden_size, _num_outputs(task),
        cell=cell, history=history, keep_activity=keep_activity,
    )  # fmt: skip


def _neuromodulated(task: Task, hidden_size: int = 100, **arguments: Any) -> Network[Any]:
    return Neuromodulated(task.observation_space.shape[0], hidden_size, _num_outputs(task), **arguments)


def _published_neuromodulated(
    content: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    weights = published_weights(content)
    return None if weights is None else ({"hidden_size": len(weights["recurrent"])}, weights)


def _transformer(task: Task, **arguments: Any) -> Network[Any]:
    return CausalTransformer(task.observation_space.shape[0], num_outputs=_num_outputs(task), **arguments)


def _noisy_rates(task: Task, num_units: int | None = None, **arguments: Any) -> Network[Any]:
    settings: dict[str, Any] = {"start_bias": 0.0, "step_time": task.step_time}
    if task.step_time is None:  # steps without a duration last one time constant
        settings |= {"start_bias": 0.2, "step_time": 1.0, "substeps": 5}
    if task.objective == "log_likelihood":
        settings |= {"start_bias": 0.7, "gain": 100.0, "logistic": True}
    units = {"squared_error": 40, "log_likelihood": 25}.get(task.objective or "", 64)
    return NoisyRates(
        task.observation_space.shape[0],
        units if num_units is None else num_units,
        _num_outputs(task),
        **{**settings, **arguments},
    )


def _leaky_softplus(task: Task, num_units: int = 100, **arguments: Any) -> Network[Any]:
    # Steps without a duration last one time constant.
    leak = {"leak": 1.0 if task.step_time is None else task.step_time}
    return LeakySoftplus(
        task.observation_space.shape[0], num_units, _num_outputs(task), **{**leak, **arguments}
    )


def _mpn(task: Task, hidden_size: int = 100, **arguments: Any) -> Network[Any]:
    if "m_time_scale_ms" not in arguments:
        arguments = {"lambda_max": 0.99, **arguments}
    elif "dt_ms" not in arguments:
        if task.step_ms is None:
            raise ValueError(
                f"m_time_scale_ms={arguments['m_time_scale_ms']}: steps of {type(task).__name__} have no "
                "duration; give lambda_max, or dt_ms too."
            )
        arguments = {**arguments, "dt_ms": task.step_ms}
    return MPN(task.observation_space.shape[0], hidden_size, _num_outputs(task), **arguments)


def _leaky_rnn(task: Task, hidden_size: int = 100, **arguments: Any) -> Network[Any]:
    retention = {"retention": 0.8 if task.step_time is None else max(0.0, 1.0 - task.step_time)}
    return LeakyRNN(
        task.observation_space.shape[0], hidden_size, _num_outputs(task), **{**retention, **arguments}
    )


def _published_gru(task: Task, hidden_size: int = 64, **arguments: Any) -> Network[Any]:
    return PublishedGRU(task.observation_space.shape[0], hidden_size, _num_outputs(task), **arguments)


_SLOW = {"learning_rate": 1e-3, "updates": 1500, "evaluate_every": 100}

LEARNERS: dict[str, type[Learner[Any]]] = {
    "supervised": SupervisedLearner,
    "actor-critic": ActorCriticLearner,
    "three-factor": ThreeFactorLearner,
    "problem-sequence": ProblemSequenceLearner,
}

AGENTS: dict[str, AgentSpec] = {
    "plastic": AgentSpec(
        "fast weights with delta-rule writes; one layer, for any task",
        _fast_weights,
        networks=(BoundFastWeights, FreeFastWeights),
    ),
    "plastic-published": AgentSpec(
        "the published graph-walk network: row-normalised Hebbian fast weights from a random start",
        _published,
        networks=(PublishedPlastic,),
        learner={"learning_rate": 5e-3, "updates": 900},
    ),
    "rnn": AgentSpec("Elman network with the published read-out", _recurrent, {"cell": "rnn"}, _SLOW),
    "gru": AgentSpec("gated recurrent units with the published read-out", _recurrent, {"cell": "gru"}, _SLOW),
    "gru-published": AgentSpec(
        "the gated units beside which multi-plasticity networks were published, with a linear read-out",
        _published_gru,
        networks=(PublishedGRU,),
        learner=_SLOW,
    ),
    "lstm": AgentSpec(
        "long short-term memory with the published read-out", _recurrent, {"cell": "lstm"}, _SLOW
    ),
    "transformer": AgentSpec(
        "small causal transformer", _transformer, networks=(CausalTransformer,), learner=_SLOW
    ),
    "three-factor": AgentSpec(
        "noisy rates that learn by reward-modulated Hebbian plasticity, without back-propagation",
        _noisy_rates,
        networks=(NoisyRates,),
        method="three-factor",
    ),
    "neuromodulated": AgentSpec(
        "recurrent network that rewrites its weights when its own modulator says so, meta-trained on reward",
        _neuromodulated,
        networks=(Neuromodulated,),
        method="actor-critic",
        foreign=Foreign(_published_neuromodulated, "TransitiveInference-v0"),
    ),
    "mpn": AgentSpec(
        "multi-plasticity network: no recurrence, every synapse changes with what passes through it",
        _mpn,
        networks=(MPN, MPNLayer),
        learner={"learning_rate": 5e-3},
    ),
    "leaky-rnn": AgentSpec(
        "leaky recurrent network with a linear read-out", _leaky_rnn, networks=(LeakyRNN,), learner=_SLOW
    ),
    "leaky-softplus": AgentSpec(
        "leaky rate network with noise and a learned initial state; learns by gradient only",
        _leaky_softplus,
        networks=(LeakySoftplus,),
        learner=_SLOW,
    ),
    "oracle": AgentSpec("the task's named ideal observer", kind="oracle"),
    "random": AgentSpec("uniform actions", kind="random"),
}


_OURS = frozenset({*AGENTS, *LEARNERS})
_OTHERS: dict[str, Any] = {}  # what was registered, by name, as text where it has a name


def register(name: str, item: AgentSpec | type[Network[Any]] | type[Learner[Any]] | str) -> None:
    """Add an agent or a learner to the suite, under a name that `make` and the runner then know.

    Registering the same once more changes nothing.

    Args:
        name: Its name, such as "bcm".
        item: What it stands for: an `AgentSpec`; a subclass of `Network`, made with the keywords `input_size`
            and `num_outputs` and trained by "supervised"; a subclass of `Learner`, which is then a method; or
            the name of one of these, "package.module:Name" or "path/to/file.py:Name", which is imported.

    Raises:
        TypeError: If it is something else.
        ValueError: If the name stands for something else already.
    """
    source: Any = item
    if isinstance(item, str):
        source, item = absolute(item), imported(item)
    elif isinstance(item, type) and "<" not in item.__qualname__:
        source = name_of(item)
    is_learner = isinstance(item, type) and issubclass(item, Learner)
    table: dict[str, Any] = LEARNERS if is_learner else AGENTS
    entry = item if is_learner else _as_spec(item, name)
    if table.get(name, entry) != entry:
        raise ValueError(f"{name!r} is registered as {table[name]}; choose another name.")
    table[name] = entry
    if name not in _OURS:
        _OTHERS[name] = source


def registered_by_others() -> dict[str, Any]:
    """Agents and learners of others; `register(name, item)` makes them known to another process."""
    return {name: item for name, item in _OTHERS.items() if name in AGENTS or name in LEARNERS}


def _as_spec(item: Any, name: str) -> AgentSpec:
    """An agent's specification: itself, or that of a class of networks."""
    if isinstance(item, AgentSpec):
        return item
    if isinstance(item, type) and issubclass(item, Network):
        text = (inspect.getdoc(item) or item.__name__).partition("\n")[0]
        return AgentSpec(text, _OfClass(item), networks=(item,))
    raise TypeError(
        f"agent {name!r}: got {item!r}; expected a plastic_agents.AgentSpec or a subclass of "
        "plastic_agents.networks.Network."
    )


@dataclass(frozen=True)
class _OfClass:
    """The `build` of a class of networks."""

    network: type[Network[Any]]

    def __call__(self, task: Task, **arguments: Any) -> Network[Any]:
        size: dict[str, Any] = {
            "input_size": task.observation_space.shape[0],
            "num_outputs": _num_outputs(task),
        }
        return self.network(**size, **arguments)


def agent_spec(name: str) -> AgentSpec:
    """The agent of a name in `AGENTS`, or named "module:Name" or "file.py:Name", which is imported.

    Raises:
        ValueError: If there is none (with the nearest names).
        TypeError: If the name is not of an `AgentSpec` or a network.
    """
    if is_name(name):
        return _as_spec(imported(name), name)
    if name not in AGENTS:
        raise ValueError(f"{unknown_name('agent', name, AGENTS)} All: {sorted(AGENTS)}.")
    return AGENTS[name]


def check_at_hand(name: str, trust: bool = False) -> None:
    """Check that an agent or learner that only a file names may be used; see `plastic_envs.naming`.

    Args:
        name: A name in `AGENTS` or `LEARNERS`, "module:Name" or "file.py:Name".
        trust: Import it.

    Raises:
        ValueError: If it is unknown, not imported, or no agent or learner.
    """
    if not is_name(name):
        if name not in {*AGENTS, *LEARNERS}:
            raise ValueError(
                f"{unknown_name('agent', name, AGENTS)} If it is your own, register it first: "
                f"plastic_agents.register({name!r}, ...). All: {sorted(AGENTS)}."
            )
        return
    try:
        item = imported(name) if trust else at_hand(name)
        if not (isinstance(item, type) and issubclass(item, Learner)):
            _as_spec(item, name)
    except TypeError as error:
        raise ValueError(str(error)) from error
    except LookupError as error:
        raise ValueError(
            f"{name!r} is not imported, so it is not run. Import it first, or pass trust=True (--trust) if "
            "you know who wrote the file."
        ) from error


def learner_class(name: str, method: str | None = None) -> type[Learner[Any]]:
    """The learner that an agent is trained with.

    Args:
        name: The agent's name.
        method: A name in `LEARNERS`, "module:Name" or "file.py:Name"; None for the agent's own.

    Raises:
        ValueError: If there is no such agent or learner.
        TypeError: If the name is not of a learner.
    """
    method = method or agent_spec(name).method
    if is_name(method):
        learner = imported(method)
        if not (isinstance(learner, type) and issubclass(learner, Learner)):
            raise TypeError(f"method {method!r}: got {learner!r}; expected a subclass of Learner.")
        return learner
    if method not in LEARNERS:
        raise ValueError(unknown_name("learning method", method, LEARNERS))
    return LEARNERS[method]


def learner_defaults(name: str, method: str | None = None) -> dict[str, Any]:
    """Settings that agent `name` starts from, where they differ from those of the learner's own dataclass."""
    names = {f.name for f in fields(learner_class(name, method).Config)}
    spec = agent_spec(name)
    return {k: v for k, v in spec.learner.items() if k in names and method in (None, spec.method)}


def make(
    name: str,
    task: Task | str | gym.Env[Any, Any],
    *,
    seed: int = 0,
    device: str = "auto",
    method: str | None = None,
    learner: LearnerConfig | Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Agent:
    """Make an agent for a task.

    Args:
        name: A name in `AGENTS`, or "package.module:Name" or "path/to/file.py:Name" of an `AgentSpec` or a
            network, which is imported.
        task: A task, the id of an environment or its name (see `plastic_envs.make_task`), or an environment.
        seed: Fixes initial weights, training data and random starts.
        device: "auto", "cpu" or "cuda".
        method: How it learns: a name in `LEARNERS`, or one like "file.py:Name"; by default the agent's own.
        learner: The learner's settings, or those that differ from the agent's own defaults.
        **arguments: The network's arguments, such as `key_size` or `hidden_size`.

    Returns:
        The agent, not trained yet.

    Raises:
        ValueError: On an unknown name, or an agent that cannot play the task.
        TypeError: On an argument that the network does not take.
    """
    seed = check_argument("seed", seed, Seed)
    arguments = {key: check_argument(key, value, Any) for key, value in arguments.items()}
    spec, name = agent_spec(name), absolute(name)
    if not isinstance(task, Task):
        task = make_task(task)
    if spec.kind != "network":
        if arguments:
            raise TypeError(f"agent {name!r} takes no arguments; got {sorted(arguments)}.")
        return PolicyAgent(name, task, seed, spec.kind)
    assert spec.build is not None
    how = learner_class(name, method)
    if not isinstance(learner, LearnerConfig):
        changed = {**learner_defaults(name, method), **(learner or {})}
        names = {f.name for f in fields(how.Config)}
        if unknown := sorted(set(changed) - names):
            raise ValueError(f"learner: {unknown_names(unknown, names)}")
        learner = replace(how.Config(), **changed)
    elif not isinstance(learner, how.Config):
        raise TypeError(f"{type(learner).__name__} given for {how.__name__}; expected {how.Config.__name__}.")
    place = resolve_device(device)
    with global_generator(seed):
        network = _built(name, spec, task, arguments)
        how.complete(network)
    agent = NetworkAgent(name, task, seed, network, how(learner, task, seed), arguments, place, method)
    check_size(
        4 * agent.num_parameters()["fast"] * learner.batch_size, "what the network remembers of a batch",
        batch_size=learner.batch_size, **arguments,
    )  # fmt: skip
    return agent


def _built(name: str, spec: AgentSpec, task: Task, arguments: Mapping[str, Any]) -> Network[Any]:
    assert spec.build is not None
    accepted = spec.accepted()
    if accepted is not None and (unknown := [key for key in arguments if key not in accepted]):
        raise TypeError(f"agent {name!r}: {unknown_names(unknown, accepted)}")
    return spec.build(task, **{**spec.arguments, **arguments})


class _WithoutNumbers(TorchFunctionMode):
    """Tensors are made, but no numbers for them: on "meta", torch loads its compiler for that (2 s)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        scaled = func is torch.Tensor.mul and not isinstance(args[1], torch.Tensor)
        if scaled or func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        if func in (torch.rand, torch.randn):
            return torch.empty(*args)
        return func(*args, **(kwargs or {}))


def network_shapes(
    name: str, task: Task, arguments: Mapping[str, Any], method: str | None = None
) -> dict[str, torch.Tensor]:
    """Weights, without contents (on the device "meta"), of the network that `make` would make.

    Takes no memory, so a file may be asked what sizes it names before they are believed.
    """
    spec = agent_spec(name)
    if spec.kind != "network":
        return {}
    with torch.device("meta"), _WithoutNumbers():
        network = _built(name, spec, task, arguments)
        learner_class(name, method).complete(network)
    return network.state_dict()
