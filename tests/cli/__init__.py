"""The command line, and whole programs run by it."""
