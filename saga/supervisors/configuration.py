"""Settings of the frozen supervisor and of its rollouts."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """Which frozen multimodal LLM judges the pairs, and how it is asked."""

    model: str = "embedded"
    """Folder in the hub's format, a hub id, or "embedded" (the tiny supervisor shipped here)."""

    prompt: str = "birds"
    """Name of a bundled prompt (configs/prompts) or path of a prompt file."""

    image_size: int = 224
    """Side in pixels that every image is resized to."""

    attention_layer: int | None = None
    """Decoder layer (0-based) whose attention teaches the pooler; None takes the one at relative
    depth 0.72 as in the paper (layer 26 of 36)."""

    attention_query: Literal["predicting", "value"] = "predicting"
    """Query position of an attribute value's tokens: the position that predicts the token, or the
    token itself."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Storage type of the frozen language model."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """"auto" takes the GPU when there is one."""

    def __post_init__(self) -> None:
        if self.image_size < 16:
            raise ValueError(f"image_size must be at least 16 pixels, got {self.image_size}")
        if self.attention_layer is not None and self.attention_layer < 0:
            raise ValueError(f"attention_layer counts from 0, got {self.attention_layer}")


@dataclass(frozen=True, slots=True)
class RolloutConfig:
    """How completions are sampled (METHOD section 4, phase B)."""

    group_size: int = 8
    """Completions per pair, G; an integer of at least 2."""

    temperature: float = 0.7
    """Softmax temperature; above 0."""

    top_p: float = 0.95
    """Nucleus mass that is sampled from; in (0, 1]."""

    max_new_tokens: int = 1024
    """Longest completion in tokens; one that is cut off cannot be parsed and earns 0."""

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ValueError(f"group_size must be an integer of at least 2, got {self.group_size}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
