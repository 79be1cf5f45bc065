"""`saga search`: the gallery images nearest to a query."""

from pathlib import Path
from typing import Any

from pipelines.answer import Answer
from pipelines.encoders import open_encoder
from pipelines.images import check_headers, collect
from pipelines.progress import reporter, shown
from saga.errors import UserInputError
from saga.retrieval.search import search
from saga.retrieval.table import EmbeddingTable

BATCH_SIZE = 64


def main(encoder: str, gallery: Path, query: Path, k: int, device: str) -> Answer:
    """Search by exact cosine similarity."""
    queries = collect([query])
    table = _existing_table(gallery)
    files = [] if table else collect([gallery])
    check_headers([*queries, *files])
    retriever = open_encoder(encoder, device)
    if table is None:
        with shown():
            vectors = retriever.encode(files, BATCH_SIZE, progress=reporter("embed the gallery"))
        table = EmbeddingTable(tuple(map(str, files)), vectors, retriever.digest)
    _check_encoder(table, retriever.digest, retriever.embedding_dim, encoder, gallery)
    found = search(retriever.encode(queries, BATCH_SIZE), table.vectors, min(k, len(table.paths)))
    results = [
        {"query": str(path), "results": _ranked(table, indices, similarities)}
        for path, indices, similarities in zip(queries, found.indices, found.similarities)
    ]
    facts = {"encoder_digest": table.encoder_digest, "gallery": len(table.paths)}
    return Answer(facts | {"queries": results}, "\n\n".join(map(_text, results)))


def _existing_table(gallery: Path) -> EmbeddingTable | None:
    """The table, if the gallery is a file; None for a folder of images."""
    if not gallery.exists():
        raise UserInputError(
            f"{gallery}: no such file or folder. Give a folder of images, or a file that "
            "`saga embed` wrote."
        )
    return None if gallery.is_dir() else EmbeddingTable.load(gallery)


def _check_encoder(
    table: EmbeddingTable, digest: str, width: int, encoder: str, gallery: Path
) -> None:
    if table.encoder_digest != digest:
        raise UserInputError(
            f"{gallery} was embedded by another encoder (digest {table.encoder_digest[:12]}) than "
            f"{encoder} (digest {digest[:12]}); their vectors cannot be compared. Embed the "
            "gallery again, or use the encoder that it was embedded with."
        )
    if table.vectors.shape[1] != width:
        raise UserInputError(
            f"{gallery} was altered: it holds vectors of {table.vectors.shape[1]} numbers, but its "
            f"encoder makes {width}. Embed the gallery again."
        )


def _ranked(table: EmbeddingTable, indices: Any, similarities: Any) -> list[dict[str, Any]]:
    return [
        {"rank": rank, "path": table.paths[int(i)], "similarity": round(float(s), 6)}
        for rank, (i, s) in enumerate(zip(indices, similarities), start=1)
    ]


def _text(result: dict[str, Any]) -> str:
    lines = [f"{r['rank']:>4}  {r['similarity']:.4f}  {r['path']}" for r in result["results"]]
    return "\n".join([result["query"], *lines])
