"""What a job is, in plain Python: no model, no database, no transport."""
