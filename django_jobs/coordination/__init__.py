"""What jobs have to do with each other."""
