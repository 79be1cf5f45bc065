"""The dataset's expectations, checked by Great Expectations."""
