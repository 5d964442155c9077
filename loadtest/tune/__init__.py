"""Which serving settings give the lowest latency under real load: trials, duels, the choice."""
