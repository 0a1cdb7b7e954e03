"""The crystal of the demo and small tables."""
