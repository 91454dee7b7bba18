"""minicontainer: a container engine to read, to take apart, and to use."""

__version__ = "0.1.0"
