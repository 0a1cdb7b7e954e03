"""Files and pictures of a run: all of them, or none."""
