"""Rankers and their training."""
