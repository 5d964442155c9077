"""The load process against a model that does nothing: how fast it can be."""
