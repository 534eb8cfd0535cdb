"""The output of the commands: live view, tables, status, summaries."""
