"""A verified release goes into the model repository."""
