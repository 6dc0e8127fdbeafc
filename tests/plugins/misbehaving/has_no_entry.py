"""Has nothing that could be called."""
