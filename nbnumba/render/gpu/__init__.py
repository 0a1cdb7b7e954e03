"""The host's side of rendering on NVIDIA GPUs."""
