"""Kubeflow Trainer and JobSet themselves, beside the control plane of the tests.

    binaries, manager/, jobset/   both controllers, built once from pinned modules, with their CRDs
    webhooks                      what the API server asks them before it takes an object
    controllers                   both running

Real controllers on a real API server make real pods, which the node agent runs as local processes.
"""
