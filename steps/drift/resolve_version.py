"""Which version is it today?"""

from typing import Annotated

from zenml import step


@step(enable_cache=False)
def resolve_version(model: str, version: str) -> Annotated[str, "version"]:
    """The number of a version or stage; asked anew at each run, as a stage moves on."""
    from pipelines.registry import existing_model, model_version

    return str(model_version(existing_model(model), version).number)
