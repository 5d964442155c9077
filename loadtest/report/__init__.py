"""What is kept of every run of a scenario: its record, its page, its comparison with others."""
