"""Trains, evaluates and applies the churn model."""
