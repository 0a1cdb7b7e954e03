"""Tests, in folders called like the rooms of the package; docs/contributing.md has the table."""
