"""Before any test imports Lightning: see ``builders.torchvision_operators``."""

import builders  # noqa: F401
