"""The report of a run: one self-contained HTML file, and what the terminal shows at the end of a run."""
