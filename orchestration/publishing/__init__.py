"""Publishing of marts: targets, each a file in `targets/`, and the assets that publish to them."""
