"""What happens to files, messages and exit codes when something goes wrong: ``python -m tests.campaigns.faults``."""
