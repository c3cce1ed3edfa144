"""Pure functions of tensors that networks are made of, each with its fast and its plain form."""

from plastic_agents.functional.fast_weights import associate, associate_loop
from plastic_agents.functional.mpn import run as multi_plasticity
from plastic_agents.functional.mpn import run_loop as multi_plasticity_loop
from plastic_agents.functional.neuromodulated import run as modulated_plasticity
from plastic_agents.functional.neuromodulated import run_loop as modulated_plasticity_loop
from plastic_agents.functional.normalised_hebb import normalised_hebbian
from plastic_agents.functional.three_factor import run_trial as three_factor_trial

__all__ = [
    "associate",
    "associate_loop",
    "modulated_plasticity",
    "modulated_plasticity_loop",
    "multi_plasticity",
    "multi_plasticity_loop",
    "normalised_hebbian",
    "three_factor_trial",
]
