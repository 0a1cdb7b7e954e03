"""Compilers: the decorators of both targets, and where compiled kernels are kept."""
