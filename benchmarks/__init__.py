"""Run agents on tasks, compare them, and show what came of it."""
