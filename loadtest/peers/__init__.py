"""The same release behind other servers, measured beside Triton by the same generator."""
