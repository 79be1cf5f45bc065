"""Training on several nodes: a TrainJob of Kubeflow Trainer v2, submitted and followed by the training step.

what the stack says of it   template (written at submission, read in the step's pod), manifest
whose it is                 owner: the Job of the step's pod, with which it is deleted
its life                    submission, pods, state, following, logs
what remains of it          recording
in the step                 nodes: what saga.training.processes takes
"""
