"""The runner: settings, training, checkpoints, scores, figures and reports of a run."""
