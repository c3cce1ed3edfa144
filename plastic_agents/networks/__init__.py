"""The networks: layers called like `torch.nn.RNN`, whose fast weights are state."""

from plastic_agents.networks.base import Network, Recording, State, Stream, detach, where_rows
from plastic_agents.networks.leaky_rnn import LeakyRNN, LeakyState
from plastic_agents.networks.leaky_softplus.network import LeakySoftplus, LeakySoftplusState
from plastic_agents.networks.mpn.network import MPN, MPNLayer, MPNState
from plastic_agents.networks.neuromodulated.network import Neuromodulated
from plastic_agents.networks.normalised_hebb.network import PublishedPlastic, PublishedState
from plastic_agents.networks.published_gru import PublishedGRU
from plastic_agents.networks.recurrent import RecurrentState, TorchRecurrent
from plastic_agents.networks.three_factor.network import NoisyRates, NoisyRateState
from plastic_agents.networks.transformer import CausalTransformer, TransformerState

__all__ = [
    "MPN",
    "CausalTransformer",
    "LeakyRNN",
    "LeakySoftplus",
    "LeakySoftplusState",
    "LeakyState",
    "MPNLayer",
    "MPNState",
    "Network",
    "Neuromodulated",
    "NoisyRateState",
    "NoisyRates",
    "PublishedGRU",
    "PublishedPlastic",
    "PublishedState",
    "Recording",
    "RecurrentState",
    "State",
    "Stream",
    "TorchRecurrent",
    "TransformerState",
    "detach",
    "where_rows",
]
