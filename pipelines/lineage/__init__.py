"""Lineage: where a registered encoder came from, what used it, and whether any of it was altered.

subject = find_subject("birds:production")
facts = collect(subject)          # one JSON object
findings = verify(subject)        # what no longer is what was recorded
"""
