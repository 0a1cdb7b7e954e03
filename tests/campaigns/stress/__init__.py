"""Whole experiments drawn at random, the fast kernels held against the general one, and that against its definition."""
