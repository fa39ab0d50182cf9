"""Rows of texts, many at a time: read, written, compared and counted. What format, mix and the sources share."""
