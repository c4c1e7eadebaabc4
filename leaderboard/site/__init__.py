"""The static site of a board: rankings, suites, submissions, comparisons; plain files that work from a disk."""

from __future__ import annotations

from tlbench.leaderboard.site.build import Built, build_site

__all__ = ["Built", "build_site"]
