"""The report of a run: a self-contained HTML file, and the summary on the terminal."""

from pipeline.report.html.page import write_report
from pipeline.report.read.run_details import read_run_details
from pipeline.report.summary import print_summary

__all__ = ["print_summary", "read_run_details", "write_report"]
