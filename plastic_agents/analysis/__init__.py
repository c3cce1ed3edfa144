"""Analyses of what networks have learned: arrays in, arrays out, with the plotting beside it but apart.

No study calls these yet; they are for figures of your own: `clusters.unresponsive` (synapses to leave out),
`task_variance.modulated_variance` (variance of W * M), `rule_vectors.channel_modulation` (change of an input
channel by M), `coding_plots.draw_error`, and `discriminant`, `signal_to_noise`, `population_spectrum` and
`rate_energy` of `coding`.
"""
