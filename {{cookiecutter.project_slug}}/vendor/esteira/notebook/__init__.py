"""Notebooks as code: found, kept free of outputs, and run from top to bottom."""
