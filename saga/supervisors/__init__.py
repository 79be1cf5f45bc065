"""Frozen multimodal LLMs: prompts, rollout, replay, attention."""
