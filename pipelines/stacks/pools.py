"""From pools to what ZenML's Kubernetes orchestrator takes: the one place where that is written.

    pipeline = placed(train_and_judge, stack, (run, ...))      every step on its pool

Plain dicts, because ZenML's own objects leave nulls behind. Its orchestrator merges dicts key by key and
replaces lists, and ignores keys that it does not know: so the pods' settings stand at the steps alone, whole.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.answer import INPUT, REFUSED
from pipelines.configuration import RunConfig
from pipelines.home import IN_POD
from pipelines.stacks.configuration import TRAINS, KubernetesStack, VolumeConfig
from pipelines.stacks.crashes import GIVEN_UP, RETRIES
from pipelines.stacks.pool import PoolConfig, SecurityConfig, Taint
from pipelines.stacks.quantity import cores
from pipelines.trainjobs.template import VARIABLE, Template

if TYPE_CHECKING:
    from zenml.pipelines.pipeline_definition import Pipeline

KEY = "orchestrator.kubernetes"
TMP = "/tmp"
HOOK = "pipelines.stacks.pod.begin"
FOLLOWS = "saga.dev/follows-trainjobs"
"""Label of pods that speak to the API server about TrainJobs."""
QUEUE = "kueue.x-k8s.io/queue-name"
CODE = "SAGA_CODE_DIGEST"
"""Environment variable of the pods: digest of the code that the run was submitted with."""

STAYS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""Annotations: no autoscaler takes a pod away to pack nodes tighter."""
TRAINING_SHARE = 0.95
"""Of a step's longest time, what its TrainJob may take."""
ORCHESTRATOR = PoolConfig(labels={"any": "any"}, cores=0.25, memory="2Gi")
"""What the pod that starts the steps takes; its nodes are those of the default pool."""

FINAL = [INPUT, REFUSED, GIVEN_UP]
FAILURES = {
    "rules": [
        # A pod that is taken away also exits with 137 or 143: this rule must come first.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "main", "operator": "In", "values": FINAL},
        },
        {
            "action": "Count",
            "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [0]},
        },
    ]
}
"""Disruptions are not counted, wrong input and refusals are not tried again, crashes are."""


def placed(pipeline: "Pipeline", stack: KubernetesStack, arguments: Sequence[Any]) -> "Pipeline":
    """A pipeline with every step on its pool.

    Args:
        pipeline: as it is defined.
        stack: pools, and which step runs on which.
        arguments: what it will be called with; they decide which steps there are.
    """
    ours = pipeline.with_options(
        enable_heartbeat=True,
        on_start=HOOK,
        settings={KEY: run_settings(stack), "docker": docker_settings(stack)},
    )
    ours.prepare(*arguments)
    steps = {name: call.step.name for name, call in ours.invocations.items()}
    spread = spread_steps(arguments)
    return ours.with_options(
        step_configurations={
            name: following_step(stack) if name in spread else step_configuration(stack, step)
            for name, step in steps.items()
        }
    )


def spread_steps(arguments: Sequence[Any]) -> set[str]:
    """Names of the steps that train on several nodes."""
    runs = [argument for argument in arguments if isinstance(argument, RunConfig)]
    arms = [arm for run in runs for arm in run.arms]
    return {f"train_{arm.name}" for arm in arms if arm.training.distributed.nodes > 1}


def docker_settings(stack: KubernetesStack) -> dict[str, Any]:
    """The image as it is: nothing is built, and no code is sent along."""
    return {
        "parent_image": stack.image,
        "skip_build": True,
        "allow_including_files_in_images": False,
        "allow_download_from_code_repository": False,
        "allow_download_from_artifact_store": False,
    }


def run_settings(stack: KubernetesStack) -> dict[str, Any]:
    """What concerns the run: its own pod, and the Jobs of all steps."""
    jobs, accounts = stack.jobs, stack.service_accounts
    return {
        "synchronous": False,  # pipelines.stacks.following waits, and says what for
        "service_account_name": accounts.orchestrator,
        "step_pod_service_account_name": accounts.step,
        "job_name_prefix": "saga",
        "orchestrator_pod_settings": orchestrator_pod(stack),
        "orchestrator_job_backoff_limit": jobs.retries,
        "pod_failure_policy": FAILURES,
        "backoff_limit_margin": jobs.start_failures,
        "active_deadline_seconds": 60 * jobs.run_deadline_minutes,
        "ttl_seconds_after_finished": 60 * jobs.keep_finished_minutes,
        "pod_stop_grace_period": jobs.stop_grace_seconds,
        "max_parallelism": jobs.parallel_steps,
        "job_monitoring_interval": jobs.poll_seconds,
        "api_request_timeout": 30,
        "max_api_retries": 10,
        "concurrency_policy": "Forbid",
    }


def step_configuration(stack: KubernetesStack, step: str) -> dict[str, Any]:
    """What concerns one step.

    Args:
        stack: the stack.
        step: name of the step's function.
    """
    name = stack.pool_of(step)
    return _step(stack, stack.pools[name], {"pod_settings": step_pod(stack, name)})


def following_step(stack: KubernetesStack) -> dict[str, Any]:
    """What concerns a training on several nodes: its own pod only makes a TrainJob and follows it."""
    account = stack.service_accounts.training
    settings = {"pod_settings": following_pod(stack), "step_pod_service_account_name": account}
    return _step(stack, stack.pools[stack.default_pool], settings)


def _step(stack: KubernetesStack, pool: PoolConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """What concerns a step, beside its pod."""
    from zenml.config.retry_config import StepRetryConfig

    jobs = stack.jobs
    settings = settings | {"active_deadline_seconds": 60 * jobs.step_deadline_minutes}
    # The server counts a pod that was taken away as a try; pipelines.stacks.crashes does not.
    tries = jobs.retries + (jobs.disruptions if pool.spot else jobs.drains)
    return {
        "settings": {KEY: settings},
        "retry": StepRetryConfig(max_retries=tries) if tries else None,
        "heartbeat_healthy_threshold": jobs.heartbeat_minutes,
    }


def step_pod(stack: KubernetesStack, name: str) -> dict[str, Any]:
    """The pod of a step on a pool."""
    return _pod(stack, stack.pools[name], name, "step", stack.pools[name])


def following_pod(stack: KubernetesStack) -> dict[str, Any]:
    """The pod that makes and follows a TrainJob: on the default pool, it needs no device."""
    pod = step_pod(stack, stack.default_pool)
    pod["env"] = [*pod["env"], {"name": VARIABLE, "value": train_job_template(stack).written()}]
    pod["labels"] = pod["labels"] | {FOLLOWS: "true"}
    pod["additional_pod_spec_args"]["automount_service_account_token"] = True
    return pod


def train_job_template(stack: KubernetesStack) -> Template:
    """What a stack says of its TrainJobs."""
    name, jobs = stack.pool_of(TRAINS), stack.jobs
    pool = stack.pools[name]
    volumes, mounts = _volumes(stack, pool)
    queue = {} if stack.trainer.queue is None else {QUEUE: stack.trainer.queue}
    return Template(
        namespace=stack.cluster.namespace,
        runtime=stack.trainer.runtime,
        image=stack.image,
        pool=name,
        env=dict(_environment(stack, pool)),
        resources=resources(pool),
        device=None if pool.accelerator is None else pool.accelerator.resource,
        node_selector=dict(pool.labels),
        tolerations=tolerations(pool),
        volumes=volumes,
        mounts=mounts,
        service_account=stack.service_accounts.step,
        labels=queue,
        # Sooner than the step's own, whose pod would leave it for a next one that does not come.
        deadline_seconds=TRAINING_SHARE * 60.0 * jobs.step_deadline_minutes,
        disruptions=jobs.disruptions,
        poll_seconds=jobs.poll_seconds,
    )


def orchestrator_pod(stack: KubernetesStack) -> dict[str, Any]:
    """The pod that starts the steps: on the default pool, without its devices."""
    name = stack.default_pool
    return _pod(stack, stack.pools[name], name, "orchestrator", ORCHESTRATOR)


def looking_pod(stack: KubernetesStack) -> dict[str, Any]:
    """The pod with which a check looks around: a step's on the default pool, but small."""
    name = stack.default_pool
    pod = _pod(stack, stack.pools[name], name, "step", ORCHESTRATOR)
    if stack.server is None:  # ZenML's pods are whoever submits, then: they share a folder
        user = {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
        pod["additional_pod_spec_args"]["security_context"] = user
    return pod


def resources(pool: PoolConfig) -> dict[str, dict[str, str]]:
    """Requests and limits of a pod."""
    requests = {"cpu": cores(pool.cores), "memory": pool.memory}
    if pool.accelerator is not None:
        requests[pool.accelerator.resource] = str(pool.accelerator.count)
    return {
        "requests": requests,
        "limits": requests | {"cpu": cores(pool.cores_limit or pool.cores)},
    }


def tolerations(pool: PoolConfig) -> list[dict[str, str]]:
    """What lets a pod onto the pool's nodes."""
    return [_toleration(taint) for taint in pool.taints]


def _toleration(taint: Taint) -> dict[str, str]:
    if taint.value is None:
        return {"key": taint.key, "operator": "Exists", "effect": taint.effect}
    return {
        "key": taint.key,
        "operator": "Equal",
        "value": taint.value,
        "effect": taint.effect,
    }


def _pod(
    stack: KubernetesStack, nodes: PoolConfig, name: str, component: str, takes: PoolConfig
) -> dict[str, Any]:
    """A pod's settings.

    Args:
        stack: the stack.
        nodes: pool whose nodes it runs on.
        name: of that pool.
        component: step or orchestrator.
        takes: what it takes of a node.
    """
    volumes, mounts = _volumes(stack, takes)
    return {
        "node_selectors": dict(nodes.labels),
        "tolerations": tolerations(nodes),
        "resources": resources(takes),
        "labels": _labels(name, component),
        "annotations": dict(STAYS),
        "env": [{"name": n, "value": v} for n, v in _environment(stack, nodes).items()],
        "volumes": volumes,
        "volume_mounts": mounts,
        "image_pull_secrets": list(stack.image_pull_secrets),
        "container_security_context": _container_security(nodes.security),
        "additional_pod_spec_args": _pod_spec(nodes, component),
    }


def _labels(pool: str, component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "saga",
        "app.kubernetes.io/component": component,
        "saga.dev/pool": pool,
    }


def _environment(stack: KubernetesStack, pool: PoolConfig) -> Mapping[str, str]:
    """The pods' environment; HOME is writable though the image is not."""
    from pipelines.provenance import code_digest

    return {
        "HOME": TMP,
        "SAGA_HOME": stack.home,
        IN_POD: "1",
        CODE: code_digest(),
        RETRIES: str(stack.jobs.retries),
        "HF_HOME": f"{stack.cache.mount_path.rstrip('/')}/huggingface",
        "MPLCONFIGDIR": f"{TMP}/matplotlib",
        "PYTHONUNBUFFERED": "1",
        "ZENML_LOGGING_COLORS_DISABLED": "true",
        "ZENML_LOGGING_VERBOSITY": "WARN",
        "ZENML_ENABLE_RICH_TRACEBACK": "false",
    } | pool.env


def _volumes(
    stack: KubernetesStack, takes: PoolConfig
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and where they are mounted."""
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": TMP}]
    for number, volume in enumerate(stack.mounts):
        name = "cache" if number == 0 else f"volume-{number}"
        volumes.append({"name": name} | _source(volume))
        mount = {"name": name, "mountPath": volume.mount_path}
        mounts.append(mount | ({"readOnly": True} if volume.read_only else {}))
    if takes.shared_memory is not None:
        size = takes.shared_memory
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    return volumes, mounts


def _source(volume: VolumeConfig) -> dict[str, Any]:
    if volume.claim is not None:
        return {"persistentVolumeClaim": {"claimName": volume.claim}}
    return {"hostPath": {"path": volume.host_path, "type": "DirectoryOrCreate"}}


def _container_security(security: SecurityConfig) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": security.read_only_root,
        "capabilities": {"drop": ["ALL"]},
    }


def _pod_spec(pool: PoolConfig, component: str) -> dict[str, Any]:
    """What ZenML has no setting for; the names of this level are the client's."""
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if pool.security.run_as_user is not None:
        security["runAsUser"] = pool.security.run_as_user
    if pool.security.group is not None:
        security |= {"runAsGroup": pool.security.group, "fsGroup": pool.security.group}
    spec: dict[str, Any] = {"security_context": security}
    # The orchestrator's own calls need its token; a step needs none.
    spec["automount_service_account_token"] = component == "orchestrator"
    if pool.priority_class is not None:
        spec["priority_class_name"] = pool.priority_class
    if pool.runtime_class is not None and component == "step":
        spec["runtime_class_name"] = pool.runtime_class
    return spec
