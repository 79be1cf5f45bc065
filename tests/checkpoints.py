"""Tiny random checkpoints of the real model classes, written as the hub's folders are.

They stand in for the 8-billion-parameter models: `load_checkpoint` reads them by the same path.
Their tokenizer has one token per byte (and merges of bytes, if it is given text to learn them from),
so that they can be asked and can answer anything; being random, they answer nonsense.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from saga.files import write_json

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
INITIALIZER_RANGE = 0.15
"""Wide enough that attention and features of so few channels are far from uniform."""
VOCABULARY = 800
"""Bytes and merges, where merges are learnt."""
VISION = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 16,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
}
"""Of a Qwen3-VL tower alone, small enough to be built anew in a test."""
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def write_tiny_qwen3_vl(
    folder: Path, layers: int = 3, hidden: int = 32, patch: int = 8, seed: int = 0, text: str = ""
) -> None:
    """A Qwen3-VL: one token per (2·patch)² pixels, deepstack features of the first vision layer."""
    tokenizer = _tokenizer(
        ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
        "<|vision_start|><|image_pad|><|vision_end|>",
        text,
    )
    ids = _ids(tokenizer)
    vision = {
        "depth": 2,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_heads": 2,
        "patch_size": patch,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": hidden,
        "num_position_embeddings": 36,
        "deepstack_visual_indexes": [0],
        "initializer_range": INITIALIZER_RANGE,
    }
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    }
    config = Qwen3VLConfig(
        vision_config=vision,
        text_config=_text_config(tokenizer, layers, hidden) | {"rope_parameters": rope},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    processor = HALF | {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "patch_size": patch,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": (2 * patch) ** 2, "longest_edge": 512 * 512},
    }
    _save(folder, Qwen3VLForConditionalGeneration, config, tokenizer, processor, seed)


def write_tiny_internvl(
    folder: Path, layers: int = 3, hidden: int = 32, patch: int = 8, seed: int = 0, text: str = ""
) -> None:
    """An InternVL on Qwen3: one token per (2·patch)² pixels; made for 12×12 patches, so that other
    image sizes interpolate its position embeddings as 224 pixels do the real one's."""
    tokenizer = _tokenizer(("<img>", "</img>", "<IMG_CONTEXT>"), "<IMG_CONTEXT>\n", text)
    vision = {
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 2 * hidden,
        "attention_bias": True,
        "image_size": 12 * patch,
        "patch_size": patch,
        "initializer_range": INITIALIZER_RANGE,
    }
    config = InternVLConfig(
        vision_config=vision,
        text_config=_text_config(tokenizer, layers, hidden) | {"model_type": "qwen3"},
        image_token_id=_ids(tokenizer)["<IMG_CONTEXT>"],
        image_seq_length=36,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    processor = IMAGENET | {
        "image_processor_type": "GotOcr2ImageProcessorFast",
        "crop_to_patches": False,
        "size": {"height": 12 * patch, "width": 12 * patch},
    }
    _save(folder, InternVLForConditionalGeneration, config, tokenizer, processor, seed)


def _text_config(tokenizer: Any, layers: int, hidden: int) -> dict[str, Any]:
    ids = _ids(tokenizer)
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 8192,
        "initializer_range": INITIALIZER_RANGE,
        "pad_token_id": ids[PAD],
        "bos_token_id": None,
        "eos_token_id": ids[END],
    }


def _tokenizer(special: tuple[str, ...], image: str, text: str) -> PreTrainedTokenizerFast:
    """Bytes, merges learnt from a text, special tokens, a chat template of the family's kind."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if text:
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator([text], trainer)
    names = [PAD, START, END, *special]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, *special],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = (
        "{% for message in messages %}" + START + "{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endif %}" + END + "\n{% endfor %}"
        "{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
    )
    return fast


def _ids(tokenizer: Any) -> dict[str, int]:
    return {name: tokenizer.convert_tokens_to_ids(name) for name in tokenizer.all_special_tokens}


def _save(
    folder: Path,
    model_class: Any,
    config: Any,
    tokenizer: Any,
    processor: dict[str, Any],
    seed: int,
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if not parameter.any():  # biases, class token and positions start at zero
                    parameter.normal_(0, 0.1)
    ids = _ids(tokenizer)
    model.generation_config.eos_token_id = [ids[END], ids[PAD]]
    model.generation_config.pad_token_id = ids[PAD]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    common = {
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
    }
    write_json(Path(folder) / "preprocessor_config.json", common | processor)
