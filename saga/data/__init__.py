"""Datasets: layouts, the manifest, zero-shot splits, guarded images, sampling, synthetic birds."""
