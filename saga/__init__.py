"""saga: image-retrieval encoders trained through a frozen multimodal LLM (arXiv 2606.15134)."""

__version__ = "0.1.0"
