"""The report of a run: one self-contained HTML file, and what the terminal shows at the end of a run."""

from pipeline.report.page import render_nodes, write_report
from pipeline.report.summary import print_summary

__all__ = ["print_summary", "render_nodes", "write_report"]
