"""
Run by path: tie this process to its parent's life, give up root, become the server.

A script of the standard library alone. It stands between fork and exec so that no Python code has
to run in a forked copy of a process with threads (`preexec_fn`), which may lock up.

    leash.py PARENT_PID SIGNAL UID GID SERVER ARGUMENT...
"""

import ctypes
import os
import sys


PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """
    Replace this process by the server; 126 and one line on stderr when that cannot be done.

    The kernel forgets the death signal when the user changes, so the user comes first. A parent
    that died before the signal was asked for is seen by the changed parent id.
    """
    parent, death_signal, uid, gid = map(int, arguments[:4])
    command = arguments[4:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if sys.platform == "linux":
            libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            return 126
        os.execv(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
    return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
