"""Data sets: rotation series, and stills of many crystals."""
