"""`saga embed`: vectors of image files."""

from pathlib import Path

from pipelines.answer import Answer
from pipelines.commands import outputs
from pipelines.encoders import open_encoder
from pipelines.images import check_headers, collect
from pipelines.progress import reporter, shown
from saga.retrieval.table import EmbeddingTable, check_target


def main(encoder: str, images: list[Path], output: Path, batch_size: int, device: str) -> Answer:
    """Embed the images and write the table."""
    check_target(output)
    outputs.check_parent(output, "--output")
    paths = collect(images)
    check_headers(paths)
    table = embed_files(encoder, paths, batch_size, device)
    files = table.save(output)
    n, E = table.vectors.shape
    facts = {
        "output": [str(path) for path in files],
        "images": n,
        "embedding_dim": E,
        "encoder_digest": table.encoder_digest,
    }
    return Answer(facts, f"{n} vectors of {E} numbers in {files[0]}")


def embed_files(encoder: str, paths: list[Path], batch_size: int, device: str) -> EmbeddingTable:
    """Vectors of some files by the encoder of that name."""
    retriever = open_encoder(encoder, device)
    with shown():
        vectors = retriever.encode(paths, batch_size, progress=reporter("embed"))
    return EmbeddingTable(tuple(map(str, paths)), vectors, retriever.digest)
