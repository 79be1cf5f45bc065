"""Where a supervisor comes from, and the digest of its files; nothing is loaded, nothing heavy imported."""

import os
from pathlib import Path

from saga.errors import UserInputError
from saga.files import digest_of, file_digests
from saga.supervisors.configuration import SupervisorConfig

EMBEDDED = Path(__file__).parent / "embedded"
"""The tiny supervisor that ships with the project."""
FILES = {
    "config.json": ("config.json",),
    "tokenizer (tokenizer.json)": ("tokenizer.json", "vocab.json", "tokenizer.model"),
    "preprocessor_config.json": ("preprocessor_config.json", "processor_config.json"),
}
"""What a folder must hold: one file of each."""


def resolve_model(model: str) -> str:
    """Folder or hub id of a configured model.

    Raises:
        UserInputError: if it looks like a folder and is none, or lacks files; one line for each.
    """
    if model == "embedded":
        return str(EMBEDDED)
    folder = Path(model).expanduser()
    if not folder.exists():
        if model.startswith((".", "/", "~")) or model.count("/") != 1 or os.sep not in model:
            raise UserInputError(
                f"supervisor.model: {model} is not a folder here. Give a folder with config.json, "
                'tokenizer and weights, a hub id such as Qwen/Qwen3-VL-8B-Instruct, or "embedded".'
            )
        return model
    problems = [
        f"supervisor.model: the folder {model} holds no {what}. Save model, tokenizer and "
        "processor into one folder (save_pretrained of each), then give that folder."
        for what, names in FILES.items()
        if not any((folder / name).is_file() for name in names)
    ]
    if problems:
        raise UserInputError("\n".join(problems))
    return str(folder)


def supervisor_digest(config: SupervisorConfig) -> str:
    """Digest of a supervisor's files without loading it; of the hub id when it is not a folder."""
    source = resolve_model(config.model)
    if Path(source).is_dir():
        return digest_of(file_digests(Path(source)))
    return digest_of({"hub": source})
