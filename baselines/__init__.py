"""Baselines: learners, and methods in one file per family."""
