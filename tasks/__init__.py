"""Tasks: suites as TOML files, environments as modules."""
