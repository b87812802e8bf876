"""An independent counting proxy: it imports nothing of the project."""
