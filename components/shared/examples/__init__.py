"""`Examples` artifacts: rows as tf.Examples in TFRecord files, and the spans that they are from."""
