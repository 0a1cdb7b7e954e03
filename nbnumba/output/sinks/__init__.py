"""One class for each file that a run may write, and the table of them."""
