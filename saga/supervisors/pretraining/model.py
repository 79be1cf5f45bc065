"""The architecture of the tiny supervisor: a real Qwen3-VL of about 0.63 million parameters."""

from typing import Any

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from saga.supervisors.pretraining.configuration import EMBEDDED_DEPTH
from saga.supervisors.pretraining.tokenizer import END, IMAGE, PAD, VIDEO, VISION_END, VISION_START

PATCH, MERGE, HIDDEN = 8, 2, 96


def build_model(
    tokenizer: Any, seed: int, tower_depth: int = EMBEDDED_DEPTH
) -> Qwen3VLForConditionalGeneration:
    """A randomly initialised model whose vocabulary is the tokenizer's.

    Images give one token per 16×16 pixels: 6×6 tokens at 96 pixels. The features of the layer in the
    tower's middle go to the language model as well (deepstack).
    """
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens}
    vision = {
        "depth": tower_depth,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": HIDDEN,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [tower_depth // 2 - 1],
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "pad_token_id": ids[PAD],
        "bos_token_id": None,
        "eos_token_id": ids[END],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
    }
    config = Qwen3VLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=ids[IMAGE],
        video_token_id=ids[VIDEO],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids[END]
    model.generation_config.pad_token_id = ids[PAD]
    return model


def preprocessor_config() -> dict[str, Any]:
    """The hub's image preprocessing file for this model."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": PATCH,
        "merge_size": MERGE,
        "temporal_patch_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_resize": True,
        "do_convert_rgb": True,
        "resample": 3,
        "size": {"shortest_edge": (PATCH * MERGE) ** 2, "longest_edge": 512 * 512},
    }
