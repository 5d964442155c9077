"""Load on a running server: users, their figures, and where the time goes."""
