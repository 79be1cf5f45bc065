"""Rights, worked out from Role and binding objects."""

import itertools
from collections.abc import Iterator

from tests.infra.kubernetes_manifests import Manifest, of_kind
from tests.infra.permissions import NAMESPACE, Permission


def granted_by(made: list[Manifest]) -> frozenset[Permission]:
    """What the objects allow, each right by itself; groups stand as accounts `group:NAME`."""
    return frozenset(
        Permission(account, verb, resource, name, namespace)
        for binding, namespace in _bindings(made)
        for account in map(_account, binding["subjects"])
        for verb, resource, name in _rights(_role(made, binding))
    )


def _bindings(made: list[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for item in made:
        if item["kind"] == "RoleBinding":
            yield item, item["metadata"]["namespace"]
        if item["kind"] == "ClusterRoleBinding":
            yield item, ""


def _role(made: list[Manifest], binding: Manifest) -> Manifest:
    """The role of a binding.

    Raises:
        KeyError: if it is none of ours; `edit` and `cluster-admin` are nobody's.
    """
    return of_kind(made, binding["roleRef"]["kind"])[binding["roleRef"]["name"]]


def _account(subject: Manifest) -> str:
    if subject["kind"] == "Group":
        return f"group:{subject['name']}"
    assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE), subject
    return str(subject["name"])


def _rights(role: Manifest) -> Iterator[tuple[str, str, str]]:
    for rule in role["rules"]:
        for group, resource, verb, name in itertools.product(
            rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames", [""])
        ):
            plural, slash, subresource = resource.partition("/")
            yield verb, (f"{plural}.{group}" if group else plural) + slash + subresource, name
