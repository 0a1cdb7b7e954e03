"""Kernels for NVIDIA GPUs, with operations that only CUDA has."""
