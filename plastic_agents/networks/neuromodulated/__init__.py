"""Hebbian traces that the network's own modulator writes into its recurrent weights."""
