"""The model card of a saved encoder."""

from typing import Any

CARD = """---
library_name: saga
tags: [image-retrieval]
---
# Retrieval encoder ({family}, {pooler} pooler)

One image in, one vector of {dim} values out, of unit length. Compare by cosine similarity.

```python
from saga.encoders.retriever import Retriever
vectors = Retriever.load("this folder").encode(["photo.jpg"])
```

Images are resized straight to {size}×{size} pixels. The language model that supervised the training is
not part of this folder. A gallery embedded by another encoder must be embedded again.

## Where it came from

{provenance}

## Figures

{metrics}
"""


def model_card(config: dict[str, Any], provenance: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Markdown that says what the encoder is, how to use it, where it came from."""
    return CARD.format(
        family=config["family"],
        pooler=config["pooler"]["kind"],
        dim=config["embedding_dim"],
        size=config["preprocessing"]["size"],
        provenance=_rows(provenance) or "Not recorded.",
        metrics=_rows(metrics) or "See the report of the run it came from.",
    )


def _rows(values: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in sorted(values.items()))
