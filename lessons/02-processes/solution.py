"""My container: python3 my_container.py ROOTFS PROGRAM [ARG...]

It starts a program as a child process and waits for it. With each lesson a wall is added, at the
place that has the lesson's number.
"""

import os
import sys

import kit


def walls():
    """The namespaces that the child is born in: kit.CLONE_NEW… put together with |."""
    flags = kit.CLONE_NEWUTS
    flags |= kit.CLONE_NEWPID
    # lesson 03: mounts of its own
    # lesson 08: a network of its own
    # lesson 09: ipc of its own
    # lesson 10: users of its own
    return flags


def outside(pid):
    """In the parent, while the child `pid` waits at the gate."""
    # lesson 07: limits
    # lesson 08: a cable to the child
    # lesson 10: which users inside are which outside


def inside(rootfs):
    """In the child, before the program: build the walls, from the foundation up."""
    kit.prctl(1, 9)  # PR_SET_PDEATHSIG: no parent, no container
    kit.sethostname("container")
    # lesson 03: nothing that is mounted here may reach the host
    # lesson 06: a layer to write on
    # lesson 05: /proc, /sys and /dev
    # lesson 04: the root directory
    # lesson 11: capabilities
    # lesson 12: system calls


def start(program):
    """Become the program: this process stays, what it runs is replaced. execve(2) does not return."""
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"my_container: {program[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


def main():
    rootfs, *program = sys.argv[1:]
    hear, tell = os.pipe()  # the gate: the child waits until the parent has closed its end
    pid = kit.clone(walls())
    if pid == 0:
        os.close(tell)
        os.read(hear, 1)
        os.close(hear)
        inside(os.path.abspath(rootfs))
        start(program)
    os.close(hear)
    outside(pid)
    os.close(tell)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)  # minus the number of the signal that ended it, if one did
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
