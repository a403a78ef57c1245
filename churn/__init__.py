"""From raw records to churn scores: the Python behind the dbt project."""
