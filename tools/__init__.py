"""What maintainers run: pages that are generated, and pictures of the code."""
