"""Experiment tracking that cannot fail a run, change its numbers or delay it."""
