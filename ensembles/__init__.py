"""What runs online, as data: tensor contracts, steps, profiles, rendering."""
