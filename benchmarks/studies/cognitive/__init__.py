"""Studies of the battery of cognitive tasks, and of the integration of evidence."""
