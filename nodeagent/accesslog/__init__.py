"""The access log: a line for each request, to a file, stdout or the journal."""
