"""Configuration of a simulation, and its resolution into an experiment: every value known before a pixel is computed."""
