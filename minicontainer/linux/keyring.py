"""Key rings: the kernel's own store for secrets. keyrings(7), session-keyring(7).

A process inherits the session keyring of the one that started it, with whatever is in it: Kerberos
tickets, the keys of encrypted file systems. No namespace hides it, so a container joins one of its own.

    keyctl show; cat /proc/keys        watch it
"""

from __future__ import annotations

import ctypes
import os

from minicontainer.linux.calls import check, encode, libc, syscall

SYS_KEYCTL = {"x86_64": 250, "i686": 288, "armv7l": 311}.get(os.uname().machine, 219)
KEYCTL_JOIN_SESSION_KEYRING = 1


@syscall
def join_session_keyring(name: str) -> int:
    """Leave the session keyring for the one called `name`, made if there is none: keyctl(2). Its serial number."""
    return check(libc.syscall(ctypes.c_long(SYS_KEYCTL), ctypes.c_long(KEYCTL_JOIN_SESSION_KEYRING), encode(name)))
