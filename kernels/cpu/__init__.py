"""Kernels of the CPU."""
