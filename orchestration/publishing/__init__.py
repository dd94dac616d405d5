"""The marts' way out: targets, each a file in `targets/`, and the assets that publish to them."""
