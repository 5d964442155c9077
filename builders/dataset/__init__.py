"""An interaction log becomes cleaned, split arrays."""
