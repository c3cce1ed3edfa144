"""The published graph-walk network: row-normalised Hebbian fast weights."""
