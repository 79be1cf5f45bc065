"""Evidence-bound promotion: which version is in use, who put it there, on which evidence.

promote(model, "7", "production", GatePolicy.load(path), …)
rollback(model)
read_audit("birds")
"""
