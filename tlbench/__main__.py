"""``python -m tlbench``: the command line."""

from tlbench.cli import main

main()
