"""Plans of evaluations, the store of results, and where jobs run."""
