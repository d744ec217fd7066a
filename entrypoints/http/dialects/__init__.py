"""Dialects: the same tasks in the words, paths and shapes of other backends of this family.

Made of contract objects, which take the place of the contracts. Nothing else knows of them: without this package and
two lines of `app.py` there are none. `docs/reference/frontends.md` says which frontend needs which.
"""
