"""Computations whose best program depends on the platform: one folder per operation."""
