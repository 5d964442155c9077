"""A closed loop: simulated users act on what a real server shows them, round after round."""
