"""Learners: the ways in which slow weights are trained."""
