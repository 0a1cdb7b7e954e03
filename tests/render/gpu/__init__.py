"""The host's side of CUDA."""
