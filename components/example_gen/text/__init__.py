"""What text in a table means: numbers, times, truth values, words for null, or nothing but text.

`forms` sorts texts by what they look like, each into exactly one form; what a column is then follows from the forms that occur
in it, however its values are cut into files. `parsing` makes values of text.
"""
