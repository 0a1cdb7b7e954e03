"""A class for each output file of a run, and the table of these classes."""
