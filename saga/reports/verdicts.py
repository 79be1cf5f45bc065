"""What the gates' statuses mean, in words for a page."""

VERDICTS = {
    "PASS": "No gate blocks: this encoder may be promoted.",
    "FAIL": "At least one gate says no: this encoder must not be promoted.",
    "INCONCLUSIVE": "The data do not tell: this encoder must not be promoted. More test classes "
    "would make the intervals narrower.",
    "ERROR": "At least one gate could not be judged: this encoder must not be promoted.",
}
