"""Stimulus coding: an efficient code for stimuli of unequal frequency."""
