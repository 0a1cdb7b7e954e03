"""Configuration of a simulation, and the experiment: all values that follow from it before a pixel is computed."""
