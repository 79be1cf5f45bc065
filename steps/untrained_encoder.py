"""The tower as it comes with the supervisor."""

from typing import Annotated

from zenml import step

from materializers.retriever import RetrieverMaterializer
from saga.encoders.retriever import Retriever
from saga.supervisors.configuration import SupervisorConfig
from saga.training.trainer import untrained_retriever


@step(output_materializers={"encoder_pretrained": RetrieverMaterializer})
def untrained_encoder(
    supervisor: SupervisorConfig, bound: dict[str, str]
) -> Annotated[Retriever, "encoder_pretrained"]:
    """Mean-pooled tokens of the untrained tower: training must beat it, mining searches with it.

    Args:
        supervisor: where the tower comes from.
        bound: digests of code, supervisor and prompt; other digests do not reuse this step.
    """
    return untrained_retriever(supervisor)
