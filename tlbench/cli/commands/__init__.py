"""One module per command; each has a function ``command``, and its name is the command's."""
