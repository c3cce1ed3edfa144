"""Evidence integration: the context-cued integration of pulses."""
