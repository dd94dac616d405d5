"""The lake: its folders, atomic writes, locks between runs, and views for SQL."""
