"""A node agent that plays the kubelet: real pods of a real control plane, run as local processes.

    nodes: what a node is (`node`), who it is and that it lives (`registration`)
    pods:  what is bound to a node (`agent`), one pod from start to end (`pod`), its status (`status`)
    a pod's inside: `environment`, `volumes`, `images`, `sandbox`
    what the API server asks of a node: `logs`

Needs root: every pod has its own file system, process numbers and host name, as the user that it asks for.
Left out: probes, lifecycle hooks, CPU and memory limits, services and network policies.
"""
