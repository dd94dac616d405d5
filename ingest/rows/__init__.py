"""What access logs and events share: columns of rows, what is looked up, hashed, scrubbed and deduplicated."""
