"""Long searches for faults, each with a short run of it among the tests."""
