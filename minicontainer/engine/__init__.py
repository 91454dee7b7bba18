"""What a user asks for, in Docker's words, turned into containers.

`Options` holds a request, `build_spec` makes the OCI spec of it. Command line and daemon both come
this way.
"""
