"""The engine: it knows no task and no model by name."""
