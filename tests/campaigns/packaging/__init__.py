"""Checks of what is released: run by hand and by continuous integration, not by pytest."""
