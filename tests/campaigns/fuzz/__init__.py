"""Fuzzing of every reader: ``python -m tests.campaigns.fuzz --help``, docs/fuzzing.md."""
