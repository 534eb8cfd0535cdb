"""What the commands print: live view, tables, status, summaries."""
