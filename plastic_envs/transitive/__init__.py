"""Transitive inference: a new order of items in every episode."""
