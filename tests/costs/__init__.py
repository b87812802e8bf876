"""Tests of costs/."""
