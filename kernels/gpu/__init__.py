"""Kernels of NVIDIA GPUs, and what only CUDA has."""
