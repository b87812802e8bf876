"""Prices, limits and pricing rules, each with unit, region, source and date; the meter; the bill."""
