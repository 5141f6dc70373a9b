"""Names that columns of real tables have, and those that Python, TensorFlow, a file system or a format has a use for itself."""

from __future__ import annotations

from hypothesis import strategies as st

HARD_NAMES = (
    *("class", "self", "lambda", "None", "True", "cls", "args", "kwargs", "name", "inputs", "training", "column_0", "column_1"),
    *("prénom", "名前", "🎉", "é", "e\u0301", "two words", " lead", "trail ", "tab\there", "line\nbreak", "\u200b"),
    *("a.b", "a/b", "b/", "/", "..", "/abs", "-dash", "1st", "arg_1st", "a:0", "a[0]", "{SPAN}", "$x", "%s", "*", "?", "#"),
    *('quo"te', "it's", "a,b", "a;b", "<b>x</b>", "{{ x }}", "&amp;", "\\", "C:\\temp"),
    *("Case", "case", "cASE", "__class__", "_hidden", "x" * 300, "null", "ID"),
    *("prediction", "predictions", "probability", "probabilities", "score", "label", "labels", "value", "version", "row"),
    *("examples", "numeric", "categorical", "model", "model_version", "model_config", "schema", "json", "copy", "rows"),
    *("prediction_time", "prediction_score", "prediction_version", "date", "time", "features", "request_id", "instances"),
)
"""Each has made a pipeline fail somewhere, or looks as if it could."""

names = st.sampled_from(HARD_NAMES) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
"""The name of a column: any text that UTF-8 can hold, but NUL, which ExampleGen refuses."""
