// A program that reads what strangers made, with nothing but the files it is given.
#ifndef HOSTLER_CLINUX_SANDBOX_H
#define HOSTLER_CLINUX_SANDBOX_H

#include <stdint.h>

/// What a confined program may have. It gets no capability, no network, no socket, no process of its own, and none of
/// the files that are not named here.
struct clinux_sandbox {
    /// Files and folders, ending with NULL: to read and to execute, folders with all below them. One that does not
    /// exist is passed over.
    const char *const *readable;
    /// Files, ending with NULL, that exist: to read, write and truncate.
    const char *const *writable;
    /// Limits of setrlimit(2): address space, size of a file that it writes, processor time, open files.
    uint64_t memory_bytes;
    uint64_t file_bytes;
    uint32_t cpu_seconds;
    uint32_t open_files;
};

/// The kernel's Landlock ABI (landlock(7)); 0 where it has none, and the files are then not confined.
int clinux_landlock_abi(void);

/// Confines the calling process, which has one thread, for good. 0, or a negated errno. Makes system calls only, so
/// that it may run between fork and exec.
int clinux_sandbox_enter(const struct clinux_sandbox *sandbox);

#endif
