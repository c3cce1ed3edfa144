"""The networks: layers called like `torch.nn.RNN`, whose fast weights are state."""

from plastic_agents.networks.base import Network, State, detach, where_rows
from plastic_agents.networks.published import PublishedPlastic, PublishedState
from plastic_agents.networks.recurrent import RecurrentState, TorchRecurrent
from plastic_agents.networks.transformer import CausalTransformer, TransformerState

__all__ = [
    "CausalTransformer",
    "Network",
    "PublishedPlastic",
    "PublishedState",
    "RecurrentState",
    "State",
    "TorchRecurrent",
    "TransformerState",
    "detach",
    "where_rows",
]
