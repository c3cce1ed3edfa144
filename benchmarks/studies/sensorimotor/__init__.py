"""The study of sensorimotor associations."""
