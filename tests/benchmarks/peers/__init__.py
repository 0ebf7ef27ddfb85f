"""One adapter a peer. Each runs in the peer's own environment and imports nothing of the others."""
