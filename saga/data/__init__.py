"""Datasets: layouts, the manifest, zero-shot splits, guarded image loading, sampling, synthetic birds."""
