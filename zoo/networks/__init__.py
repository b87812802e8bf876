"""Networks of the kinds that exporters write, built here with seeded weights: no download, one family per file."""
