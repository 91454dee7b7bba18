"""Looking at processes from outside: which walls stand around them, and what each of them sees.

Nothing here changes anything or prints. All of it is read from files in /proc and in the control groups'
file system, for any process that the reader may look at. Two facts have no such file: a hostname and the
addresses of interfaces belong to namespaces, and are asked for by a child that has joined these.

    subject     a word of the command line -> a process
    namespaces  which ones a process is in, and what each kind isolates
    tree        its root directory and its mounts
    census      which processes it sees, and by which numbers
    within      what only a member of its namespaces can tell: hostname, interfaces
    rights      user ids, id maps, capabilities, seccomp
    groups      its control groups, and the limits that hold there
    kernel      what all processes of the machine have in common
    view        all of that about one process
    house       the machine and its containers at one moment, with rates since the one before

What the kernel does not let the reader see is None. Most of /proc/PID asks for ptrace's rights: the same
user and no capability more than the reader's, or CAP_SYS_PTRACE. ptrace(2), proc(5).
"""
