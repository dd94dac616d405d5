"""A partition is a day of logs or a site's day of events. It is read and checked, then published or refused."""
