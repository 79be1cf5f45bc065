"""Studies: arms × regimes × seeds, each cell a training of its own, one table at the end."""
