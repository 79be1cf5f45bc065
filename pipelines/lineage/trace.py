"""The run behind a version: its artifacts, the steps between them, and what came from what."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.lineage.subject import Subject
from pipelines.registry import PAGE, client
from saga.errors import UserInputError

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.models import ArtifactVersionResponse, PipelineRunResponse, StepRunResponse

REUSED = "cached"
"""Status of a step whose outputs came from an earlier run."""


@dataclass(frozen=True)
class Kept:
    """An artifact of the run, made by it or reused."""

    response: "ArtifactVersionResponse"
    step: str
    """Name of the step that gave it; empty where another run did."""

    @property
    def key(self) -> str:
        """name:version, unique in the database."""
        return f"{self.response.name}:{self.response.version}"

    @property
    def kind(self) -> str:
        """Name of its type, such as DatasetManifest."""
        return str(self.response.data_type.attribute)

    @property
    def facts(self) -> dict[str, Any]:
        """Its metadata."""
        return dict(self.response.run_metadata)

    @property
    def digest(self) -> str:
        """As it was recorded; empty for types without one."""
        return str(self.facts.get("digest") or "")


@dataclass(frozen=True)
class Trace:
    """Everything of one run, as the database holds it."""

    subject: Subject
    run: "PipelineRunResponse"

    @cached_property
    def steps(self) -> "dict[str, StepRunResponse]":
        """By name, in the order in which they ran."""
        found = sorted(self.run.steps.values(), key=lambda s: str(s.start_time or s.created))
        return {step.name: step for step in found}

    @cached_property
    def kept(self) -> dict[str, Kept]:
        """Artifacts by key: all outputs, and what else the steps took."""
        found: dict[str, Kept] = {}
        for name, step in self.steps.items():
            for response in _flat(step.outputs):
                kept = Kept(response, name)
                found[kept.key] = kept
        for step in self.steps.values():
            for response in _flat(step.inputs):
                kept = Kept(response, "")
                found.setdefault(kept.key, kept)
        return found

    @cached_property
    def encoder(self) -> Kept:
        """The one that was asked for."""
        wanted = self.subject.encoder.id
        for kept in self.kept.values():
            if kept.response.id == wanted:
                return kept
        return Kept(self.subject.encoder, "")

    def inputs(self, kept: Kept) -> list[Kept]:
        """What the step that gave an artifact took."""
        if kept.step not in self.steps:
            return []
        taken = _flat(self.steps[kept.step].inputs)
        return [self.kept[Kept(response, "").key] for response in taken]

    def ancestors(self, kept: Kept) -> dict[str, Kept]:
        """Everything that an artifact came from, the nearest first."""
        found: dict[str, Kept] = {}
        waiting = self.inputs(kept)
        while waiting:
            here = waiting.pop(0)
            if here.key not in found:
                found[here.key] = here
                waiting += self.inputs(here)
        return found

    def nearest(self, kept: Kept, kind: str) -> list[Kept]:
        """Ancestors of a type that are the fewest steps away.

        A reused step keeps the inputs that it had at first, so that further away there may be
        older twins of what this run made.
        """
        level, seen = [kept], {kept.key}
        while level:
            above = {k.key: k for below in level for k in self.inputs(below)}
            level = [k for key, k in above.items() if key not in seen]
            seen |= above.keys()
            found = [k for k in level if k.kind == kind]
            if found:
                return found
        return []

    def of_kind(self, kind: str) -> list[Kept]:
        """The run's artifacts of a type."""
        return [kept for kept in self.kept.values() if kept.kind == kind]

    def source(self, kind: str) -> Kept | None:
        """The nearest ancestor of the encoder of a type."""
        return next(iter(self.nearest(self.encoder, kind)), None)

    def decision(self) -> Kept | None:
        """What the gates said of the encoder, where they were asked."""
        for kept in self.of_kind("GateDecision"):
            if kept.facts.get("encoder_digest") == self.encoder.digest:
                return kept
        return None

    def parameters(self, step: str) -> dict[str, Any]:
        """Values that a step was given."""
        return dict(self.steps[step].config.parameters) if step in self.steps else {}

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved configuration."""
        return dict(self.given.get("run") or {})

    @property
    def given(self) -> dict[str, Any]:
        """Parameters of the run."""
        return dict(self.run.config.parameters or {})

    def producer(self, kept: Kept) -> "tuple[PipelineRunResponse, StepRunResponse | None]":
        """The run and step that really made an artifact, of a reused one earlier ones.

        Where they were deleted since, those of this run stand in.
        """
        found = self._step_and_run(kept.response.producer_step_run_id)
        return (found[1], found[0]) if found else (self.run, self.steps.get(kept.step))

    def original(self, step: str) -> str | None:
        """Id of the run that a reused step's outputs came from; None where it was deleted."""
        found = self._step_and_run(self.steps[step].original_step_run_id)
        return str(found[1].name) if found else None

    def _step_and_run(
        self, step_id: "UUID | None"
    ) -> "tuple[StepRunResponse, PipelineRunResponse] | None":
        """A step by its id, with its run; asked for once."""
        if step_id is not None and step_id not in self._asked:
            try:
                step = client().get_run_step(step_id)
                run = next(
                    (r for _, r in self._asked.values() if r.id == step.pipeline_run_id), None
                )
                self._asked[step_id] = (
                    step,
                    run or client().get_pipeline_run(step.pipeline_run_id),
                )
            except KeyError:
                return None
        return self._asked[step_id] if step_id is not None else None

    @cached_property
    def _asked(self) -> "dict[UUID, tuple[StepRunResponse, PipelineRunResponse]]":
        return {step.id: (step, self.run) for step in self.run.steps.values()}


def trace(subject: Subject) -> Trace:
    """The run that registered a version.

    Where several runs are linked to it, the first whose steps gave the encoder; a run that later
    takes the encoder is a consumer.

    Raises:
        UserInputError: if no run gave it.
    """
    database = client()
    links = database.list_model_version_pipeline_run_links(
        model_version_id=subject.version.id, sort_by="asc:created", size=PAGE
    ).items
    for link in links:
        run = database.get_pipeline_run(link.pipeline_run.id)
        outputs = (r for step in run.steps.values() for r in _flat(step.outputs))
        if any(response.id == subject.encoder.id for response in outputs):
            return Trace(subject, run)
    raise UserInputError(
        f"No run that registered {subject.name} is in the database: it was deleted, or the encoder "
        "was put there by other means than `saga run`. Its lineage is not known."
    )


def _flat(named: Any) -> Iterator[Any]:
    for versions in named.values():
        yield from versions if isinstance(versions, list) else [versions]
