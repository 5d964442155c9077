"""How a release is made, offline: log, dataset, retrieval, ranker, export, publication."""

from builders.torchvision_operators import declare_when_needed

declare_when_needed()
