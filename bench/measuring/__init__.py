"""How fast is a training step: ours beside what a user would write, and beside what the machine could do."""
