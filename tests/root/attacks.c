/* attack NAME: try one way out of a container, or into the kernel. Exit status 0: it worked, 1: it was refused.

   It is enough that the kernel looks at the arguments: most calls are made with some that cannot succeed,
   so only EPERM, EACCES, EROFS and ENOSYS count as refused. Nothing here changes the machine if it works. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <unistd.h>

static long call(long number, long a, long b, long c, long d) { return syscall(number, a, b, c, d, 0L, 0L); }

/* Make a device node, and use it. */
static long device(mode_t type, unsigned major, unsigned minor) {
    char name[] = "/node";
    unlink(name);
    if (mknod(name, type | 0600, makedev(major, minor)))
        return -1;
    int fd = open(name, O_RDONLY | O_NONBLOCK);
    int error = errno;
    unlink(name);
    errno = error;
    return fd;
}

/* Open a file for writing, which changes nothing yet. */
static long writable(const char *path) {
    int fd = open(path, O_WRONLY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) /* this kernel has none */
        errno = EACCES;
    return fd;
}

static long clock_tick(void) {
    struct timex now = {0};
    if (adjtimex(&now) < 0)
        return -1;
    now.modes = ADJ_TICK; /* to what it is */
    return adjtimex(&now);
}

static long realtime(void) {
    struct sched_param parameter = {.sched_priority = 1};
    return sched_setscheduler(0, SCHED_FIFO, &parameter);
}

static long clone_flags(long flags) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    return pid;
}

static const struct { const char *name; long number, a, b, c, d; } calls[] = {
    {"unshare user", SYS_unshare, CLONE_NEWUSER},
    {"unshare mount", SYS_unshare, CLONE_NEWNS},
    {"unshare net", SYS_unshare, CLONE_NEWNET},
    {"clone3", SYS_clone3},
    {"setns", SYS_setns, -1},
    {"mount", SYS_mount},
    {"umount", SYS_umount2, (long)"/tmp", MNT_DETACH},
    {"pivot_root", SYS_pivot_root},
    {"fsopen", SYS_fsopen},
    {"open_tree clone", SYS_open_tree, AT_FDCWD, (long)"/", 1},
    {"move_mount", SYS_move_mount, -1, (long)"/", -1, (long)"/"},
    {"mount_setattr", SYS_mount_setattr, -1, (long)"/"},
    {"bpf", SYS_bpf},
    {"perf_event_open", SYS_perf_event_open},
    {"io_uring", SYS_io_uring_setup, 1},
    {"userfaultfd", SYS_userfaultfd},
    {"keyctl", SYS_keyctl, 0, -3},
    {"add_key", SYS_add_key},
    {"request_key", SYS_request_key},
    {"open_by_handle_at", SYS_open_by_handle_at, -1},
    {"kexec_load", SYS_kexec_load, 0, 0, 0, -1},
    {"init_module", SYS_init_module},
    {"finit_module", SYS_finit_module, -1},
    {"delete_module", SYS_delete_module},
    {"reboot", SYS_reboot},
    {"swapon", SYS_swapon},
    {"acct", SYS_acct, (long)"/"},
    {"quotactl", SYS_quotactl, -1},
    {"syslog", SYS_syslog, 10},
    {"sethostname", SYS_sethostname, 0, -1},
    {"priority", SYS_setpriority, PRIO_PROCESS, 0, -5},
    {"vhangup", SYS_vhangup},
    {"fanotify", SYS_fanotify_init},
    {"personality", SYS_personality, ADDR_NO_RANDOMIZE},
    {"TIOCSTI", SYS_ioctl, 1, TIOCSTI},
    {"socket vsock", SYS_socket, AF_VSOCK, SOCK_STREAM},
    {"socket alg", SYS_socket, AF_ALG, SOCK_SEQPACKET},
    {"socket packet", SYS_socket, AF_PACKET, SOCK_RAW},
    {"socket raw", SYS_socket, AF_INET, SOCK_RAW, 1},
#ifdef SYS_iopl
    {"iopl", SYS_iopl, 3},
    {"ioperm", SYS_ioperm, 0x70, 1, 1},
    {"modify_ldt", SYS_modify_ldt, 0},
#endif
};

/* As another user, start a set-user-ID program of root's: this one, once more. */
static int become_root(void) {
    if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
        return 1;
    return execl("/suid", "suid", "euid", NULL);
}

int main(int argc, char **argv) {
    const char *name = argv[1];
    long result = -2;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(name, calls[i].name))
            result = call(calls[i].number, calls[i].a, calls[i].b, calls[i].c, calls[i].d);
    if (!strcmp(name, "clone user"))
        result = clone_flags(CLONE_NEWUSER);
    else if (!strcmp(name, "clone mount"))
        result = clone_flags(CLONE_NEWNS);
    else if (!strcmp(name, "clock"))
        result = clock_tick();
    else if (!strcmp(name, "realtime"))
        result = realtime();
    else if (!strcmp(name, "writable"))
        result = writable(argv[2]);
    else if (!strcmp(name, "char") || !strcmp(name, "block"))
        result = device(*name == 'c' ? S_IFCHR : S_IFBLK, atoi(argv[2]), atoi(argv[3]));
    else if (!strcmp(name, "node"))
        result = mknod("/node", S_IFCHR | 0600, makedev(1, 1));
    else if (!strcmp(name, "become root"))
        return become_root();
    else if (!strcmp(name, "euid"))
        return geteuid() != 0;
    else if (result == -2)
        return fprintf(stderr, "attack: there is no %s\n", name), 2;
    int refused = result < 0 && (errno == EPERM || errno == EACCES || errno == EROFS || errno == ENOSYS);
    if (getenv("VERBOSE"))
        fprintf(stderr, "%s: %ld %s\n", name, result, result < 0 ? strerror(errno) : "");
    return refused;
}
