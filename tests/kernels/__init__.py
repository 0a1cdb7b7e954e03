"""Kernels against their definitions, on the CPU, in the CUDA simulator and as machine code."""
