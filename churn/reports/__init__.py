"""Shows results: summary, timeline, model card, docs site."""
