"""Strict schemas of Kueue's v1beta2 objects: the fields that people write, their types and values.

kubernetes-validate knows no custom resources. Status is left out: the controller writes it.
"""

from typing import Any

import jsonschema

from tests.infra.kubernetes_manifests import Manifest

Schema = dict[str, Any]

NAME: Schema = {"type": "string", "maxLength": 253, "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
# As text: a number in YAML would be changed by the API server, and differ at every apply.
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|[KMGTP]i?)?$"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
EFFECT: Schema = {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def record(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def several(item: Schema, most: int, least: int = 0) -> Schema:
    return {"type": "array", "items": item, "minItems": least, "maxItems": most}


SELECTOR = record(
    matchLabels=TEXTS,
    matchExpressions=several(
        record(
            ("key", "operator"),
            key={"type": "string"},
            operator=one_of("In", "NotIn", "Exists", "DoesNotExist"),
            values=several({"type": "string"}, 64),
        ),
        64,
    ),
)
STOP = one_of("None", "Hold", "HoldAndDrain")
FAIR_SHARING = record(weight=QUANTITY)

FLAVOR = record(
    nodeLabels={**TEXTS, "maxProperties": 8},
    nodeTaints=several(
        record(("key", "effect"), key={"type": "string"}, value={"type": "string"}, effect=EFFECT),
        8,
    ),
    tolerations=several(
        record(
            key={"type": "string"},
            operator=one_of("Equal", "Exists"),
            value={"type": "string"},
            effect=EFFECT,
            tolerationSeconds={"type": "integer"},
        ),
        8,
    ),
    topologyName=NAME,
    resourceWeights={"type": "object", "additionalProperties": QUANTITY, "maxProperties": 16},
)
QUOTA = record(
    ("name", "nominalQuota"),
    name={"type": "string"},
    nominalQuota=QUANTITY,
    borrowingLimit=QUANTITY,
    lendingLimit=QUANTITY,
)
GROUP = record(
    ("coveredResources", "flavors"),
    coveredResources=several({"type": "string"}, 64, 1),
    flavors=several(
        record(("name", "resources"), name=NAME, resources=several(QUOTA, 64, 1)), 64, 1
    ),
)
CLUSTER_QUEUE = record(
    resourceGroups=several(GROUP, 16),
    cohortName=NAME,
    queueingStrategy=one_of("StrictFIFO", "BestEffortFIFO"),
    namespaceSelector=SELECTOR,
    flavorFungibility=record(
        whenCanBorrow=one_of("MayStopSearch", "TryNextFlavor"),
        whenCanPreempt=one_of("MayStopSearch", "TryNextFlavor"),
        preference=one_of("BorrowingOverPreemption", "PreemptionOverBorrowing"),
    ),
    preemption=record(
        reclaimWithinCohort=one_of("Never", "LowerPriority", "Any"),
        withinClusterQueue=one_of("Never", "LowerPriority", "LowerOrNewerEqualPriority"),
        borrowWithinCohort=record(
            policy=one_of("Never", "LowerPriority"), maxPriorityThreshold={"type": "integer"}
        ),
    ),
    stopPolicy=STOP,
    fairSharing=FAIR_SHARING,
)
LOCAL_QUEUE = record(
    ("clusterQueue",), clusterQueue=NAME, stopPolicy=STOP, fairSharing=FAIR_SHARING
)

SPECS = {"ResourceFlavor": FLAVOR, "ClusterQueue": CLUSTER_QUEUE, "LocalQueue": LOCAL_QUEUE}
NAMESPACED = {"LocalQueue"}
GROUP_VERSION = "kueue.x-k8s.io/v1beta2"


def schema_of(kind: str) -> Schema:
    """The schema of a kind.

    Raises:
        KeyError: if there is none.
    """
    scope: dict[str, Schema] = {"namespace": NAME} if kind in NAMESPACED else {}
    metadata = record(("name", *scope), name=NAME, labels=TEXTS, annotations=TEXTS, **scope)
    return record(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": GROUP_VERSION},
        kind={"const": kind},
        metadata=metadata,
        spec=SPECS[kind],
    )


def validate(item: Manifest) -> None:
    """Check an object of Kueue.

    Raises:
        jsonschema.ValidationError: with the field.
    """
    jsonschema.validate(item, schema_of(item["kind"]), jsonschema.Draft202012Validator)
