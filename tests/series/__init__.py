"""Data sets of many images."""
