"""Clusters of units and synapses by their variance over tasks, and scores of clusterings."""
