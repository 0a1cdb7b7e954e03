"""The backend of the CPU."""
