"""Evidence-bound promotion: which version is in use, who put it there, on which evidence.

promote("birds", "7", "production", GatePolicy.load(policy_file), policy_file)
rollback("birds")
read_audit("birds")
"""
