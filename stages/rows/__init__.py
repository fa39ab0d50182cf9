"""Tables of texts: reading, writing, comparing and counting rows."""
