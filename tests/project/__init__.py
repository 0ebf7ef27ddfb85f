"""A tiny project app whose jobs leave effects behind that tests can count."""
