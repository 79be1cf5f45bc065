"""A stack in ZenML: its components registered or brought up to date, and used for one run.

applied = apply_stack(stack)        again: everything "unchanged"
with active(stack): ...             the user's own active stack stays what it is
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.home import use_embedded_zenml, use_server
from pipelines.registry import client
from pipelines.stacks.configuration import KubernetesStack, StackConfig
from saga.errors import UserInputError

ACTIVE = "ZENML_ACTIVE_STACK_ID"
CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
FLAVORS = {"s3": "s3", "gs": "gcp", "az": "azure", "abfs": "azure"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What a stack's registration did."""

    name: str
    """Of the stack."""
    components: dict[str, str]
    """created, updated or unchanged, by type of component."""
    stack: str
    """The same of the stack itself."""

    @property
    def changed(self) -> bool:
        """Whether anything was."""
        return {self.stack, *self.components.values()} != {UNCHANGED}


@dataclass(frozen=True, slots=True)
class Component:
    """A component as it should be."""

    type: str
    """ZenML's type."""
    flavor: str
    """ZenML's flavor."""
    configuration: dict[str, Any]
    """What is set of it."""


def choose_store(stack: StackConfig) -> None:
    """Let ZenML speak to the stack's server; to be called before anything imports ZenML."""
    if isinstance(stack, KubernetesStack) and stack.server is not None:
        use_server(stack.server.url, stack.server.api_key_variable)


def components(stack: KubernetesStack) -> list[Component]:
    """The components of a stack."""
    cluster, shared = stack.cluster, stack.server is None
    orchestrator = {
        "kubernetes_namespace": cluster.namespace,
        "incluster": cluster.in_cluster,
        "pass_zenml_token_as_secret": stack.server is not None and stack.server.token_as_secret,
        # Pods that see this machine's folder may use the embedded database.
        "local": shared,
        "skip_local_validations": shared,
    }
    if cluster.context is not None:
        orchestrator["kubernetes_context"] = cluster.context
    return [
        Component("orchestrator", "kubernetes", orchestrator),
        _artifact_store(stack),
        Component("container_registry", "default", {"uri": stack.registry.uri}),
        Component("image_builder", "local", {}),  # asked for by ZenML; builds nothing
    ]


def apply_stack(stack: StackConfig) -> Applied:
    """Register a stack, or bring it up to date.

    Raises:
        UserInputError: if ZenML refuses a component, naming it and why.
    """
    if not isinstance(stack, KubernetesStack):
        return Applied(stack.name, {}, UNCHANGED)  # ZenML's default stack is there already
    use_embedded_zenml()
    done, ids = {}, {}
    for component in components(stack):
        try:
            done[component.type], ids[component.type] = _apply(stack.name, component)
        except (ImportError, ValueError, RuntimeError, KeyError) as error:
            raise UserInputError(
                f"The stack {stack.name} cannot be registered: its {component.type} (flavor "
                f"{component.flavor}) is refused: {_first_line(error)}"
            ) from error
    return Applied(stack.name, done, _apply_stack(stack.name, ids))


@contextmanager
def active(stack: StackConfig) -> Iterator[None]:
    """Use a registered stack for as long as the block runs, in this process alone.

    Raises:
        UserInputError: if it is not registered.
    """
    if not isinstance(stack, KubernetesStack):
        yield
        return
    found = _find_stack(stack.name)
    if found is None:
        raise UserInputError(
            f"There is no stack {stack.name} yet. Register it: saga stack apply FILE."
        )
    before = os.environ.get(ACTIVE)
    os.environ[ACTIVE] = str(found.id)
    try:
        yield
    finally:
        os.environ.pop(ACTIVE)
        if before is not None:
            os.environ[ACTIVE] = before


def _artifact_store(stack: KubernetesStack) -> Component:
    uri = stack.artifact_store.uri
    if uri is None or stack.artifact_store.is_folder:
        return Component("artifact_store", "local", {} if uri is None else {"path": uri})
    scheme = uri.partition("://")[0]
    return Component("artifact_store", FLAVORS[scheme], {"path": uri})


def _apply(name: str, component: Component) -> tuple[str, Any]:
    """What was done, and the component's id."""
    from zenml.enums import StackComponentType

    kind = StackComponentType(component.type)
    found = client().list_stack_components(name=f"equals:{name}", type=kind, hydrate=True).items
    if not found:
        made = client().create_stack_component(
            name, component.flavor, kind, component.configuration
        )
        return CREATED, made.id
    (existing,) = found
    if existing.flavor_name != component.flavor:
        raise ValueError(
            f"it is registered as flavor {existing.flavor_name}; give the stack another name"
        )
    if existing.configuration == component.configuration:
        return UNCHANGED, existing.id
    gone = dict.fromkeys(set(existing.configuration) - set(component.configuration))
    client().update_stack_component(
        existing.id, kind, configuration={**gone, **component.configuration}
    )
    return UPDATED, existing.id


def _apply_stack(name: str, ids: dict[str, Any]) -> str:
    from zenml.enums import StackComponentType

    wanted = {StackComponentType(kind): found for kind, found in ids.items()}
    existing = _find_stack(name)
    if existing is None:
        client().create_stack(name, wanted)
        return CREATED
    if {kind: [c.id for c in parts] for kind, parts in existing.components.items()} == {
        kind: [found] for kind, found in wanted.items()
    }:
        return UNCHANGED
    client().update_stack(existing.id, component_updates={k: [v] for k, v in wanted.items()})
    return UPDATED


def _find_stack(name: str) -> Any:
    found = client().list_stacks(name=f"equals:{name}", hydrate=True).items
    return found[0] if found else None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
