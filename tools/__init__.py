"""Tools for maintainers: they generate reference pages and a picture of the code."""
