"""What a stack lacks, found before a run wastes an hour."""
