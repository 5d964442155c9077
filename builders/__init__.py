"""How a release is made, offline: log, dataset, retrieval, ranker, export, publication."""
