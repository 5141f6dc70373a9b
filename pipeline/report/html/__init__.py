"""Pages: the report of a run, and the parts of it that a dashboard shows."""
