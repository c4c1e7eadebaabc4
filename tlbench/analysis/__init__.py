"""Metrics, statistics and tables: pure functions from learning curves to results."""
