"""Collaborative filtering: candidates and the tables of the feature step."""
