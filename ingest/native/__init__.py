"""The native core: reads lines into Arrow columns, where it is compiled.

`build.py` compiles the Zig files of this folder, `library.py` loads the result and says why where there is none.
Without it everything works the Python way, which gives the same rows.
"""
