"""Runs of agents on tasks, comparisons, and their results."""
