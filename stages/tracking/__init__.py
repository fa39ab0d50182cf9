"""Experiment tracking that only watches: it cannot fail a run, change its numbers or hold it up."""
