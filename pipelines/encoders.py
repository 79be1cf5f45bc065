"""Opens the ENCODER of a command: a folder, or a registered model's version or stage."""

from pathlib import Path
from typing import TYPE_CHECKING

from saga.errors import UserInputError

if TYPE_CHECKING:
    from saga.encoders.retriever import Retriever


def open_encoder(name: str, device: str = "auto") -> "Retriever":
    """The encoder of that name, on a device.

    Raises:
        UserInputError: if there is none, it was altered, or the device is not there.
    """
    from saga.encoders.retriever import Retriever
    from saga.supervisors.checkpoint import choose_device

    chosen = str(choose_device(device))
    if Path(name).is_dir():
        return Retriever.load(name, device=chosen)
    model, separator, version = name.rpartition(":")
    if not separator or "/" in name or not model or not version:
        raise UserInputError(
            f"{name} is neither a folder nor model:version. Give a folder that `saga export` "
            "wrote, or a registered encoder such as birds:production or birds:3."
        )
    from pipelines.registry import load_registered_encoder

    return load_registered_encoder(model, version).to(chosen)
