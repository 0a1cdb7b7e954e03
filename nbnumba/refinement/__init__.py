"""Refinement of models of experiments against the pixels of images."""
