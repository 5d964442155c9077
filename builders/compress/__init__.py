"""A large ranker becomes a fast one: passes, and the two gates that each must hold."""
