"""Multi-plasticity networks: every synapse is modulated by its own input and output."""
