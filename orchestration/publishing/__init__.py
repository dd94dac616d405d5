"""The marts' way out: MongoDB."""
