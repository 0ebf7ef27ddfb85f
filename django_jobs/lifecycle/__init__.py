"""The verbs: what happens to jobs, each in one transaction, announced after its commit."""
