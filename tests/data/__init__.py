"""The demo's crystal."""
