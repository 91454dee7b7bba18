"""The kernel as Python sees it: one short function a system call, no policy.

calls       the gate that every call passes, libc, and flags that spell themselves
process     clone3, unshare, setns, pidfds, exec
mount       mount(2), pivot_root(2) and the newer fd-based mount calls
files       the file calls that change something: mkdir, mknod, write
paths       resolving names below a root that may be hostile: openat2(2)
proc        reading /proc: mountinfo, status, cgroup, namespaces
cgroup2     control groups, version 2
bpf         the program that decides which devices a cgroup may open
capability  the five capability sets
seccomp     system call filters
keyring     the session keyring
net         interfaces, bridges and addresses through `ip`, rules through `nft`
pty         pseudo-terminals
"""
