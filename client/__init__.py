"""The `fsd` command and the Python client; starts the embedded cloud; draws reports."""
