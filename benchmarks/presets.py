"""Models and sizes that the step benchmark runs on.

    tiny           the embedded supervisor; real completions, real verdicts
    qwen3-vl-2b    random weights of Qwen3-VL-2B's shapes; nothing is downloaded
    qwen3-vl-8b    random weights of Qwen3-VL-8B's shapes

With random weights completions mean nothing, so their lengths are drawn from a stated distribution and
verdicts are written (benchmarks.scripted).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from saga.encoders.configuration import EncoderConfig, PoolerConfig
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.towers import tower_of
from saga.losses.configuration import MetricLossConfig
from saga.supervisors.backbone import BACKBONES
from saga.supervisors.checkpoint import Checkpoint, choose_device, load_checkpoint
from saga.supervisors.configuration import RolloutConfig, SupervisorConfig
from saga.supervisors.source import EMBEDDED
from saga.training.arm import ArmConfig
from saga.training.configuration import LossWeights, TrainingConfig

PROMPT = "synthetic_birds"
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A Qwen3-VL by its sizes, as the public model cards' configurations have them."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    """Whether the embeddings are the output weights, too."""
    rope_section: tuple[int, int, int]
    """Rotary pairs of the axes; their sum is half the head's width."""
    vision_depth: int
    vision_hidden: int
    vision_heads: int
    vision_intermediate: int
    deepstack: tuple[int, ...]

    def config(self, ids: dict[str, int]) -> Qwen3VLConfig:
        """The model's configuration.

        Args:
            ids: of the special tokens "image", "video", "start", "stop", "pad" and "end".
        """
        text = {
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": 262144,
            "pad_token_id": ids["pad"],
            "eos_token_id": ids["end"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": list(self.rope_section),
                "mrope_interleaved": True,
            },
        }
        vision = {
            "depth": self.vision_depth,
            "hidden_size": self.vision_hidden,
            "num_heads": self.vision_heads,
            "intermediate_size": self.vision_intermediate,
            "out_hidden_size": self.hidden,
            "deepstack_visual_indexes": list(self.deepstack),
        }
        return Qwen3VLConfig(
            text_config=text,
            vision_config=vision,
            image_token_id=ids["image"],
            video_token_id=ids["video"],
            vision_start_token_id=ids["start"],
            vision_end_token_id=ids["stop"],
            tie_word_embeddings=self.tied,
        )


@dataclass(frozen=True, slots=True)
class Preset:
    """What is measured unless the command says otherwise."""

    name: str
    shape: ModelShape | None
    """Random weights of this shape; None is the embedded supervisor."""
    image_size: int
    pairs: int
    prompt: int | None
    """Tokens that the prompt is padded to; None leaves it as it is."""
    max_new_tokens: int
    completion: int | None
    """Mean length of completions whose lengths are drawn and whose verdicts are written; None samples
    and reads them."""
    naive_pairs: int | None
    """Pairs that the naive step is measured on; None takes all."""
    repeats: int
    replay_pairs: int
    """Pairs that ours replays at once."""
    top_p: float = 0.95
    group: int = 8
    classes_per_batch: int = 16
    images_per_class: int = 4

    def arm(self, device: str, weights: LossWeights) -> ArmConfig:
        """The trainer's settings: one round of `pairs` pairs a step, whatever contributes."""
        large = self.shape is not None
        training = TrainingConfig(
            steps=1000,
            classes_per_batch=self.classes_per_batch,
            images_per_class=self.images_per_class,
            contributing_pairs=self.pairs,
            pairs_per_round=self.pairs,
            max_rounds=1,
            replay_pairs=self.replay_pairs,
            weights=weights,
            metric_loss=MetricLossConfig("potential_field"),
            rollout=RolloutConfig(self.group, top_p=self.top_p, max_new_tokens=self.max_new_tokens),
            autocast="bfloat16" if large and device == "cuda" else "none",
            checkpoint_every=0,
        )
        # The embedded tower's tokens differ in scale (configs/embedded.yaml).
        encoder = EncoderConfig(PoolerConfig("attention", normalize_keys=not large))
        return ArmConfig("saga", self.supervisor(device), encoder, training)

    def supervisor(self, device: str) -> SupervisorConfig:
        """Who judges: for large models their random weights take the embedded one's place."""
        large = self.shape is not None
        return SupervisorConfig(
            "embedded",
            PROMPT,
            self.image_size,
            attention_layer=None if large else 2,
            dtype="bfloat16" if large and device == "cuda" else "float32",
            device=device,  # type: ignore[arg-type]
        )

    def checkpoint(self, device: str) -> Checkpoint:
        """The model."""
        if self.shape is None:
            return load_checkpoint(self.supervisor(device))
        return random_checkpoint(self.shape, self.supervisor(device))


QWEN3_VL_2B = ModelShape(
    layers=28,
    hidden=2048,
    heads=16,
    kv_heads=8,
    head_dim=128,
    intermediate=6144,
    vocabulary=151936,
    tied=True,
    rope_section=(24, 20, 20),
    vision_depth=24,
    vision_hidden=1024,
    vision_heads=16,
    vision_intermediate=4096,
    deepstack=(5, 11, 17),
)
QWEN3_VL_8B = ModelShape(
    layers=36,
    hidden=4096,
    heads=32,
    kv_heads=8,
    head_dim=128,
    intermediate=12288,
    vocabulary=151936,
    tied=False,
    rope_section=(24, 20, 20),
    vision_depth=27,
    vision_hidden=1152,
    vision_heads=16,
    vision_intermediate=4304,
    deepstack=(8, 16, 24),
)
TINY = Preset(
    "tiny",
    None,
    image_size=160,
    pairs=12,
    prompt=None,
    max_new_tokens=40,
    completion=None,
    naive_pairs=None,
    repeats=7,
    replay_pairs=16,
    top_p=1.0,
)
LARGE = Preset(
    "qwen3-vl-8b",
    QWEN3_VL_8B,
    image_size=224,
    pairs=8,
    prompt=650,
    max_new_tokens=1024,
    completion=450,
    naive_pairs=1,
    repeats=3,
    replay_pairs=1,
)
SMALLER = replace(LARGE, name="qwen3-vl-2b", shape=QWEN3_VL_2B)
PRESETS = {preset.name: preset for preset in (TINY, SMALLER, LARGE)}


def random_checkpoint(shape: ModelShape, config: SupervisorConfig, seed: int = 0) -> Checkpoint:
    """A model with random weights, made on the device where it will run.

    The tokenizer is the embedded supervisor's: it writes the prompt, and knows the first of the many
    ids that the model can say.
    """
    device = choose_device(config.device)
    tokenizer: Any = AutoTokenizer.from_pretrained(EMBEDDED)
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>", "pad": "<|endoftext|>"}
    names |= {"start": "<|vision_start|>", "stop": "<|vision_end|>", "end": "<|im_end|>"}
    ids = {role: tokenizer.convert_tokens_to_ids(token) for role, token in names.items()}
    model = random_model(shape.config(ids), device, getattr(torch, config.dtype), seed)
    model.generation_config.eos_token_id = ids["end"]
    model.generation_config.pad_token_id = ids["pad"]
    return Checkpoint(
        tower=tower_of(model).float().requires_grad_(True),
        backbone=BACKBONES["qwen3_vl"](model, tokenizer),
        preprocessor=ImagePreprocessor(config.image_size, HALF, HALF),
        digest=f"random weights, seed {seed}",
    )


def random_model(config: Any, device: torch.device, dtype: torch.dtype, seed: int) -> Any:
    """A frozen model whose weights are drawn on the device: seconds for eight billion on a GPU."""
    torch.manual_seed(seed)
    with torch.device(device):
        model = Qwen3VLForConditionalGeneration._from_config(
            config, dtype=dtype, attn_implementation="sdpa"
        )
    return model.eval().requires_grad_(False)
