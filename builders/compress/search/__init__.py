"""Which chain of passes meets an objective: trials, the Pareto front, the choice."""
