"""The processes that run jobs: a supervisor that starts, watches and buries them, and children that do the work."""
