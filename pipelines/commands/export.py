"""`saga export`: the deployable folder."""

import shutil
from pathlib import Path

from pipelines.answer import Answer
from pipelines.commands import outputs
from pipelines.encoders import open_encoder
from saga.errors import UserInputError
from saga.files import replace_folder


def main(encoder: str, folder: Path) -> Answer:
    """Write the encoder to a new folder; an encoder folder is checked, then copied as it is."""
    outputs.check_new(folder, "DIR")
    if Path(encoder).is_dir() and folder.resolve().is_relative_to(Path(encoder).resolve()):
        raise UserInputError(f"DIR {folder} lies in the encoder {encoder}. Give another place.")
    retriever = open_encoder(encoder, "cpu")
    if Path(encoder).is_dir():
        with replace_folder(folder) as building:
            shutil.copytree(encoder, building, dirs_exist_ok=True)
    else:
        retriever.save(folder)
    files = sorted(path.name for path in folder.iterdir())
    facts = {
        "folder": str(folder),
        "encoder_digest": retriever.digest,
        "embedding_dim": retriever.embedding_dim,
        "files": files,
    }
    text = (
        f"{folder}: {', '.join(files)}\n"
        f"Use it with Retriever.load({str(folder)!r}).encode(images), or saga embed {folder} IMAGES"
    )
    return Answer(facts, text)
