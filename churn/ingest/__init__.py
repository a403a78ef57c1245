"""Loads files into raw tables and parses records."""
