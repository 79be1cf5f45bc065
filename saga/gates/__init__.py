"""Gates that a candidate encoder must pass, and the decision that binds what was judged.

policy = GatePolicy.load(Path("configs/gates/default.yaml"))
decision = decide(policy, candidate_report, {"baseline": baseline_report})
"""
