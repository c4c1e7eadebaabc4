"""The report: one self-contained page, figures and tables, written to a folder."""

from __future__ import annotations

from tlbench.analysis.page.write import prepare_folder, write_report

__all__ = ["prepare_folder", "write_report"]
