"""Benchmarks: one command each, figures in bench/results/."""
