"""Python package of the dbt project: from raw records to churn scores."""
