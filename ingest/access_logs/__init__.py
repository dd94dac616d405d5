"""CloudFront access logs: bytes of an object to rows."""
