"""Sandboxes: processes that stay and run one job at a time, so that a body which dies takes nobody along."""
