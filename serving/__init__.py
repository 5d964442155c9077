"""Start Triton, talk to it, check what it serves."""
