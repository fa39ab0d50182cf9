"""Indexes of encoded documents and the search engines that hold them, one module an engine; `engine` is their interface."""
