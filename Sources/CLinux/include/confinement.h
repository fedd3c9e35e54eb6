// Capabilities (capabilities(7)): what the server keeps of root's.
#ifndef HOSTLER_CLINUX_CONFINEMENT_H
#define HOSTLER_CLINUX_CONFINEMENT_H

#include <stdint.h>
#include <sys/types.h>

/// Sets of capabilities, a bit each.
struct clinux_capabilities {
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
    uint64_t bounding;
    uint64_t ambient;
};

/// The calling thread's. 0, or a negated errno.
int clinux_capabilities(struct clinux_capabilities *capabilities);

/// Whether the calling thread, and what it executes, can gain no privilege: PR_SET_NO_NEW_PRIVS.
int clinux_has_no_new_privileges(void);

/// Whether user 0 has no capabilities by being user 0: SECBIT_NOROOT.
int clinux_root_is_powerless(void);

/// Leaves the program that the calling thread executes next without any capability and without a way to gain one. It
/// makes system calls only. 0, or a negated errno.
int clinux_give_up_capabilities(void);

/// Starts this process's program anew, as another user and with no more capabilities than `keep`.
///
/// Capabilities are a thread's own, and threads are there before `main` knows what it needs: a program that is started
/// anew has one thread, and every later one has what it has. The process id stays. What is kept is in the new
/// program's permitted, effective and inheritable sets, the bounding set is `keep`, no program that it starts gains
/// more, and user 0 is a user like others.
///
/// - Parameters: `user` and `group`: whose process it becomes; its supplementary groups are the group alone where the
///   user changes.
/// - Returns: only where it failed: a negated errno.
int clinux_start_confined(uint64_t keep, uid_t user, gid_t group, char *const argv[]);

/// Puts CAP_SYS_ADMIN into the calling thread's effective set. 1: done; 0: it was there; -EPERM where it may not have it.
int clinux_raise_sys_admin(void);
/// Takes it out again; it can be raised once more.
void clinux_lower_sys_admin(void);

/// Becomes another user, in every thread, with that group alone. 0, or a negated errno.
int clinux_become_user(uid_t user, gid_t group);

#endif
