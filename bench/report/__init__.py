"""What rows say: the grid of an experiment filled from its rows, as tables and as figures."""
