"""The backend of NVIDIA GPUs, the host's part of CUDA."""
