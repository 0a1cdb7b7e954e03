"""The host's side of rendering on the CPU."""
