"""Runs the pipeline again, day by day or for past days."""
