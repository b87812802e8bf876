"""Which models exist: cards, their registry, one family of models per file."""
