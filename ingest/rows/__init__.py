"""Code that access logs and events share: columns, enrichment, hashes, scrubbing and deduplication of rows."""
