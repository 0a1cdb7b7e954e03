"""From photons to what a detector reads."""
