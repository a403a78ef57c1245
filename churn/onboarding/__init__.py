"""Sets up the project for a company's own data."""
