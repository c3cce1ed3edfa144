"""Fast weights with delta-rule writes."""
