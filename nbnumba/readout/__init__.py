"""From photons to counts of a detector."""
