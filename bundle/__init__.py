"""The bundle of a compiled model: its schema, written to and read from a folder or S3."""
