"""Jobs of the test project."""
