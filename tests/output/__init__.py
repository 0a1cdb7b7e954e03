"""Files and pictures of a run."""
