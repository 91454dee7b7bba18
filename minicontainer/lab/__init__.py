"""The lab: a throwaway virtual machine with a real kernel and real cgroup v2, for root and for everyone else.

Many a host has cgroup version 1, or both side by side, and a container's limits cannot be had there.
User-Mode Linux is a Linux kernel built as an ordinary program: it boots in half a second, needs no
privilege, and the user who starts it is root inside.

    needs       what the host must have
    machine     starts the kernel, and sees to it that it ends
    seal        keeps the machine from changing any file of the host
    wire        what host and machine say to each other
    plan        what goes in: command, environment, where
    session     the host's side: terminal, streams, exit status
    guest       the machine's side: process 1
    share       the way out for result files

    minicontainer lab                            a shell in it
    minicontainer lab cat /sys/fs/cgroup/cgroup.controllers
"""
