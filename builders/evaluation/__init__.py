"""Ranking quality: metrics, baselines, tables."""
