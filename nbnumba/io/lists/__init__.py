"""Reflection lists of other programs, one module for each format; ``table`` knows them by their content."""
