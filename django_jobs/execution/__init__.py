"""Around one body: from a claim to an outcome, without a write to the job's row."""
