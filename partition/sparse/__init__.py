"""Sparse layers: their weights stay sparse from the file to the kernel, and only rows that are read travel."""
