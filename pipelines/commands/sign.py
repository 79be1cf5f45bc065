"""`saga sign`: a signature over the files of an encoder."""

from pathlib import Path

from pipelines.answer import Answer


def main(model: str, version: str, key: Path) -> Answer:
    """Sign the encoder and say where the signature lies."""
    from pipelines.promotion.signing import sign
    from pipelines.registry import existing_model, model_version

    found = model_version(existing_model(model), version)
    digest, path = sign(found, key)
    facts = {"version": found.number, "encoder_digest": digest, "signature": path}
    return Answer(facts, f"{model}:{found.number}, encoder {digest[:12]}, is signed: {path}")
