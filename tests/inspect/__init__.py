"""Traces of a pixel, and comparisons of images."""
