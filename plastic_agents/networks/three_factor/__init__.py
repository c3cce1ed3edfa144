"""Noisy rates that learn by reward-modulated Hebbian plasticity."""
