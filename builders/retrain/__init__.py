"""Recorded events become a fresher release, when it is not worse than the one before."""
