"""The only writer of `Job.state`. Every move is a guarded UPDATE over a set; the rows that come back are the answer."""
