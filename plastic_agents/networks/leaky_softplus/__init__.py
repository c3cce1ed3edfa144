"""Leaky rates with noise and a learned initial state; no plasticity within an episode."""
