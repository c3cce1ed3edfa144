"""Graph walks: learn a random graph while walking on it."""
