"""Reads delimited text, JSON, Parquet or TFRecord files through Arrow into the splits that every TFX component reads.

The way of the data: `spans` finds the files that match the pattern and selects the spans of each split, `inputs` computes the
fingerprint of their content, `readers` read them as Arrow batches, `evidence` adds up what their values show (by `text`, where
they are text), `decision` settles on what each column is read as, `table` is the rows of all files,
`division` finds out how its rows are divided, by their `order` where that matters, `splitter` divides them, and `output` writes
them, taking over what `earlier_runs` have stored.

`table.open_table` opens the same table for others.

Nothing is imported here, because `inputs` finds out without TFX what a run would read.
"""
