"""Scalar physics, written once and compiled for CPU and CUDA alike."""
