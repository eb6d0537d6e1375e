"""Worker processes behind one queue."""
