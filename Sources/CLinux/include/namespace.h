#ifndef HOSTLER_CLINUX_NAMESPACE_H
#define HOSTLER_CLINUX_NAMESPACE_H

#include <sys/types.h>

struct clinux_sandbox;

/// Whether a network namespace of this name exists, as `ip netns` sees it:
/// /run/netns/NAME is a mounted namespace. 1 yes, 0 no.
int clinux_netns_exists(const char *name);

/// Moves the calling thread, and no other, into the named network namespace.
/// Sockets that the thread opens from then on belong to it; open ones stay
/// where they are. 0, or a negative errno: -ENOENT where there is none,
/// -EPERM without CAP_SYS_ADMIN.
int clinux_enter_netns(const char *name);

/// What `clinux_spawn` starts.
struct clinux_spawn_request {
    /// Absolute path of the program.
    const char *path;
    /// Ends with NULL; argv[0] is the program's name.
    char *const *argv;
    /// Network namespace to run in, or NULL for the caller's.
    const char *netns;
    /// Ends with NULL; NULL for the caller's environment.
    char *const *envp;
    /// Becomes standard output and error; -1 for /dev/null.
    int log_fd;
    /// Becomes standard error alone; -1: it goes where standard output goes.
    int error_fd;
    /// What confines the program; NULL where nothing does.
    const struct clinux_sandbox *sandbox;
    /// 1: the child gets SIGKILL when this process ends, however it ends.
    int dies_with_parent;
    /// 1: a session of its own, so that a terminal's signals do not reach it.
    int new_session;
};

/// Starts a program with no file descriptor but 0 (/dev/null), 1 and 2.
/// Returns its pid once exec has succeeded, or a negative errno of the step
/// that failed.
///
/// The fork is made by one thread that lives as long as the process, because
/// PR_SET_PDEATHSIG fires at the end of the forking *thread*, and threads of
/// a pool come and go.
pid_t clinux_spawn(const struct clinux_spawn_request *request);

#endif
