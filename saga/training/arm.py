"""One arm of a run: a supervisor, an encoder and how it is trained."""

from dataclasses import dataclass, field

from saga.data.configuration import ImageLimits
from saga.encoders.configuration import EncoderConfig
from saga.errors import UserInputError
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.training.configuration import TrainingConfig


@dataclass(frozen=True, slots=True)
class ArmConfig:
    """Everything that decides what an arm becomes, besides data and pairs."""

    name: str
    """How reports call it: "saga", "dml"."""
    supervisor: SupervisorConfig
    """Where the tower, the judge and the preprocessing come from."""
    encoder: EncoderConfig
    """Pooler and what of the tower is trained."""
    training: TrainingConfig
    """Losses, rollouts, optimizer."""
    limits: ImageLimits = field(default_factory=ImageLimits)
    """What the image loader accepts."""


def check_arm(config: ArmConfig) -> None:
    """Refuse combinations that cannot mean anything.

    Raises:
        UserInputError: for attention alignment without an attention pooler, or with a prompt that
            asks for no attributes.
    """
    if config.training.weights.kl == 0:
        return
    if config.encoder.pooler.kind in ("mean", "max"):
        raise UserInputError(
            f"training.weights.kl is {config.training.weights.kl}, but a "
            f"{config.encoder.pooler.kind} pooler has no attention to align. Set "
            "encoder.pooler.kind to attention or attribute, or training.weights.kl to 0."
        )
    prompt = load_prompt(config.supervisor.prompt)
    if not prompt.attributes:
        raise UserInputError(
            f"training.weights.kl is {config.training.weights.kl}, but the prompt {prompt.name} asks "
            "for no attributes, so no tokens say where to look. Set training.weights.kl to 0, or "
            "supervisor.prompt to one with attributes."
        )
