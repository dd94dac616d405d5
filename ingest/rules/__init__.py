"""The rules that a user gives: variables, reference tables and sites. They are read, checked and put together with the
defaults here; models, the collector and pages only take them.

`variables.py` and `tables.py` hold what there is and what is allowed, `place.py` where a user's files lie, and
`rules.py` what is in force.
"""
