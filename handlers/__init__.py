"""The AWS edge: one thin Lambda handler per function."""
