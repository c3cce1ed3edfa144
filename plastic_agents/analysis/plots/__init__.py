"""Drawing functions for analyses of trained networks."""
