"""Files of each format, read and written."""
