"""A container's life, from the spec to the exit status."""
