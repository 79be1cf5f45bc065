"""infra/kubernetes, applied: accounts may do what the table says, in the words of a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api import Api, Object
from tests.cluster.cluster import wait_for
from tests.cluster.manifests import run
from tests.infra.kubernetes_manifests import FOLDER
from tests.infra.permissions import ACCOUNTS, ALLOWED, NAMESPACE, REFUSED, Permission

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REVIEWS = "/apis/authorization.k8s.io/v1"
# What everybody with a name may: ask who they are and what they may.
EVERYBODY = {
    ("create", "selfsubjectaccessreviews.authorization.k8s.io"),
    ("create", "selfsubjectrulesreviews.authorization.k8s.io"),
    ("create", "selfsubjectreviews.authentication.k8s.io"),
}


@pytest.fixture(scope="module")
def applied(kubeconfig: Path, given: Path | None) -> Iterator[Path]:
    """A cluster with the objects of infra/kubernetes/base; a cluster that was given has its own."""
    if given is not None:
        yield kubeconfig
        return
    made = run(kubeconfig, "apply", "--kustomize", str(FOLDER / "base"))
    assert made.returncode == 0, made.stderr
    yield kubeconfig
    run(kubeconfig, "delete", "--wait=false", "--kustomize", str(FOLDER / "base"))


def may(api: Api, permission: Permission) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    plural, _, group = resource.partition(".")
    asked = {
        "verb": permission.verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "name": permission.name,
        "namespace": permission.namespace,
    }
    spec = {"user": permission.subject, "groups": groups(), "resourceAttributes": asked}
    answer = api.create(f"{REVIEWS}/subjectaccessreviews", {"spec": spec})
    return bool(answer["status"]["allowed"])


def groups() -> list[str]:
    accounts = "system:serviceaccounts"
    return [accounts, f"{accounts}:{NAMESPACE}", "system:authenticated"]


def rules(api: Api) -> set[tuple[str, str]]:
    """Verb and resource of everything that somebody may do in the namespace."""
    asked: Object = {"spec": {"namespace": NAMESPACE}}
    found = api.create(f"{REVIEWS}/selfsubjectrulesreviews", asked)["status"]["resourceRules"]
    return {
        (verb, named(resource, group))
        for rule in found
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
    }


def named(resource: str, group: str) -> str:
    plural, slash, subresource = resource.partition("/")
    return (f"{plural}.{group}" if group else plural) + slash + subresource


def test_accounts_may_do_what_a_run_needs(applied):
    api = Api(applied)
    # The API server learns of bindings by watching.
    wait_for(lambda: all(may(api, permission) for permission in ALLOWED), "the rights", seconds=10)


def test_accounts_may_do_nothing_harmful(applied):
    api = Api(applied)
    assert sorted(permission for permission in REFUSED if may(api, permission)) == []


@pytest.mark.parametrize("account", ACCOUNTS)
def test_accounts_may_do_nothing_else(applied, account):
    asks = Api(applied, user=Permission(account, "", "").subject)
    ours = {(p.verb, p.resource) for p in ALLOWED if p.account == account}
    assert rules(asks) == ours | EVERYBODY


@pytest.mark.parametrize(
    ("permission", "answer"), [(min(ALLOWED), "yes"), (min(REFUSED), "no")], ids=["yes", "no"]
)
def test_kubectl_answers_the_same(applied, permission, answer):
    said = run(applied, "auth", "can-i", *permission.question())
    assert said.stdout.strip().splitlines()[-1] == answer, said.stderr
