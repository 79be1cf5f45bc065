"""Strict schemas of Kueue's v1beta2 objects and of Kubeflow Trainer's TrainingRuntime (v1alpha1, with
JobSet v1alpha2 in it): the fields that people write, their types and values.

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

FAILURE_REASONS = one_of(
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
)
FAILURE_POLICY = record(
    maxRestarts={"type": "integer", "minimum": 0},
    restartStrategy=one_of("Recreate", "BlockingRecreate"),
    rules=several(
        record(
            ("name", "action"),
            name={"type": "string", "pattern": r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
            action=one_of("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"),
            onJobFailureReasons={**several(FAILURE_REASONS, 5), "uniqueItems": True},
            targetReplicatedJobs=several(NAME, 10),
        ),
        20,
    ),
)
STEP = "trainer.kubeflow.org/trainjob-ancestor-step"
# The names that Kubeflow Trainer looks for; the Job's specification is checked as a Job's.
NODES = record(
    ("name", "template"),
    name={"const": "node"},
    template=record(
        ("metadata", "spec"),
        metadata=record(
            ("labels",),
            labels={**TEXTS, "properties": {STEP: {"const": "trainer"}}, "required": [STEP]},
        ),
        spec={"type": "object"},
    ),
)
TRAINING_RUNTIME = record(
    ("mlPolicy", "template"),
    mlPolicy=record(
        ("torch",),
        numNodes={"type": "integer", "minimum": 1},
        torch=record(
            numProcPerNode={
                "anyOf": [one_of("auto", "cpu", "gpu"), {"type": "integer", "minimum": 1}]
            }
        ),
    ),
    podGroupPolicy=record(coscheduling=record(scheduleTimeoutSeconds={"type": "integer"})),
    template=record(
        ("spec",),
        spec=record(
            ("replicatedJobs",),
            replicatedJobs=several(NODES, 1, 1),
            failurePolicy=FAILURE_POLICY,
            ttlSecondsAfterFinished={"type": "integer", "minimum": 0},
        ),
    ),
)
FRAMEWORK = "trainer.kubeflow.org/framework"

SPECS = {
    "ResourceFlavor": FLAVOR,
    "ClusterQueue": CLUSTER_QUEUE,
    "LocalQueue": LOCAL_QUEUE,
    "TrainingRuntime": TRAINING_RUNTIME,
}
NAMESPACED = {"LocalQueue", "TrainingRuntime"}
KUEUE, TRAINER = "kueue.x-k8s.io/v1beta2", "trainer.kubeflow.org/v1alpha1"
# Trainer v2.0 takes no runtime without the name of its framework.
LABELS = {
    "TrainingRuntime": {
        **TEXTS,
        "properties": {FRAMEWORK: {"const": "torch"}},
        "required": [FRAMEWORK],
    }
}


def schema_of(kind: str) -> Schema:
    """The schema of a kind.

    Raises:
        KeyError: if there is none.
    """
    scope: dict[str, Schema] = {"namespace": NAME} if kind in NAMESPACED else {}
    labels = LABELS.get(kind, TEXTS)
    metadata = record(("name", *scope), name=NAME, labels=labels, annotations=TEXTS, **scope)
    return record(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": TRAINER if kind == "TrainingRuntime" else KUEUE},
        kind={"const": kind},
        metadata=metadata,
        spec=SPECS[kind],
    )


def validate(item: Manifest) -> None:
    """Check an object of Kueue or Kubeflow Trainer.

    Raises:
        jsonschema.ValidationError: with the field.
    """
    jsonschema.validate(item, schema_of(item["kind"]), jsonschema.Draft202012Validator)
