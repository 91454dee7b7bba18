"""Which system calls a container may make: profiles, and how they become the kernel's filter.

default.json     what every container gets: lists of calls by subject, written to be read
hardened.json    what `--hardened` takes away from it

docker      a profile in Docker's format  →  the OCI specification's `linux.seccomp`
rules       the words of that property, and what can be wrong with it
compiler    `linux.seccomp`               →  the instructions that linux.seccomp hands to the kernel
cache       the same, done before
"""
