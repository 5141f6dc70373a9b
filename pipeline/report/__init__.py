"""The report of a run: one self-contained HTML file, and what the terminal shows at the end of a run."""

from pipeline.report.html.page import write_report
from pipeline.report.read.run_details import read_facts
from pipeline.report.summary import print_summary

__all__ = ["print_summary", "read_facts", "write_report"]
