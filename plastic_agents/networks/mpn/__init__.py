"""Multi-plasticity networks: every synapse changes with what passes through it."""
