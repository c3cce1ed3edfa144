"""Analyses of what networks have learned: arrays in, arrays out, with the plotting beside it but apart."""
