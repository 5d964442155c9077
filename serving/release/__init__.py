"""Releases in a running server: staged, mirrored, tried on a share of the users, promoted."""
