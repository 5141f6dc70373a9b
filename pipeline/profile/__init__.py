"""What a table holds, and the configuration that suits it.

`source` finds the files and the pattern that names them, `table` reads all rows once and describes each column, `amounts`,
`placeholders`, `label`, `task` and `usage` decide what is predicted from what, `leaks`, `parts`, `sentinels` and `splits` look
for what may mislead a model, `draft` brings it together, and `commented` writes it as YAML with the reasons. All of it depends
on the values alone: the same table gives the same file.
"""

from pipeline.profile.amounts import readable_as_numbers
from pipeline.profile.commented import to_yaml
from pipeline.profile.draft import Draft, draft
from pipeline.profile.label import described, likely_labels, require_label, words_for_truths
from pipeline.profile.placeholders import placeholders
from pipeline.profile.source import Source, find
from pipeline.profile.table import TableProfile

__all__ = [
    "Draft",
    "Source",
    "TableProfile",
    "described",
    "draft",
    "find",
    "likely_labels",
    "placeholders",
    "readable_as_numbers",
    "require_label",
    "to_yaml",
    "words_for_truths",
]
