#define _GNU_SOURCE
#include "sandbox.h"

#include "confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// linux/landlock.h of the kernel that this is built with may be older than the kernel that it runs on, so the ABI
// (Documentation/userspace-api/landlock.rst) is written out.
#define LANDLOCK_CREATE_RULESET 444
#define LANDLOCK_ADD_RULE 445
#define LANDLOCK_RESTRICT_SELF 446
#define LANDLOCK_VERSION 1U
#define LANDLOCK_PATH_BENEATH 1

struct landlock_ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
};
struct landlock_path {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

enum {
    FILE_EXECUTE = 1 << 0,
    FILE_WRITE = 1 << 1,
    FILE_READ = 1 << 2,
    FOLDER_READ = 1 << 3,
    FILES_ABI_1 = (1 << 13) - 1,
    FILE_REFER = 1 << 13,    // ABI 2
    FILE_TRUNCATE = 1 << 14, // ABI 3
    DEVICE_IOCTL = 1 << 15,  // ABI 5
    NETWORK_ALL = 3,         // ABI 4: bind and connect of TCP
    SCOPED_ALL = 3,          // ABI 6: abstract Unix sockets, signals
};

int clinux_landlock_abi(void)
{
    long abi = syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static int allow(int ruleset, const char *path, uint64_t file_rights, uint64_t folder_rights, int must_exist)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT && !must_exist ? 0 : -errno;
    struct stat facts;
    int result = fstat(fd, &facts) < 0 ? -errno : 0;
    if (result == 0) {
        struct landlock_path rule = {
            .allowed = S_ISDIR(facts.st_mode) ? file_rights | folder_rights : file_rights, .parent = fd};
        if (syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) < 0)
            result = -errno;
    }
    close(fd);
    return result;
}

static int confine_files(const struct clinux_sandbox *sandbox)
{
    int abi = clinux_landlock_abi();
    if (abi == 0)
        return 0;
    struct landlock_ruleset rules = {.files = FILES_ABI_1};
    size_t size = offsetof(struct landlock_ruleset, network);
    if (abi >= 2)
        rules.files |= FILE_REFER;
    if (abi >= 3)
        rules.files |= FILE_TRUNCATE;
    if (abi >= 4) {
        rules.network = NETWORK_ALL;
        size = offsetof(struct landlock_ruleset, scoped);
    }
    if (abi >= 5)
        rules.files |= DEVICE_IOCTL;
    if (abi >= 6) {
        rules.scoped = SCOPED_ALL;
        size = sizeof rules;
    }
    int ruleset = (int)syscall(LANDLOCK_CREATE_RULESET, &rules, size, 0);
    if (ruleset < 0)
        return -errno;
    int result = 0;
    for (const char *const *path = sandbox->readable; result == 0 && *path != NULL; path++)
        result = allow(ruleset, *path, FILE_READ | FILE_EXECUTE, FOLDER_READ, 0);
    uint64_t writing = (FILE_READ | FILE_WRITE | FILE_TRUNCATE) & rules.files;
    for (const char *const *path = sandbox->writable; result == 0 && *path != NULL; path++)
        result = allow(ruleset, *path, writing, 0, 1);
    if (result == 0 && syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) < 0)
        result = -errno;
    close(ruleset);
    return result;
}

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system call filter has no name for this architecture"
#endif

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSAL ANSWER(SECCOMP_RET_ERRNO | EPERM)
// Expects the number of the system call in the accumulator, and leaves it there.
#define REFUSE(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), REFUSAL
// Refuses a call unless the low half of its first argument is `value`, or 0 where 0 means the caller itself.
#define ONLY_FOR(number, value)                                                                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 5), FIELD(args[0]),                                                \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 2, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), REFUSAL,       \
        FIELD(nr)

static int confine_calls(void)
{
    uint32_t self = (uint32_t)getpid();
    struct sock_filter filter[] = {
        FIELD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        FIELD(nr),
#if defined(__x86_64__)
        // The x32 calls have numbers of their own, with this bit.
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        REFUSE(SYS_fork),
        REFUSE(SYS_vfork),
#endif
        // A thread is made by clone with CLONE_THREAD; clone3 keeps its flags where a filter cannot see them, and the C
        // library asks clone where there is none.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        FIELD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        REFUSAL,
        FIELD(nr),
        // No network, and nobody to talk to on this host.
        REFUSE(SYS_socket),
        REFUSE(SYS_socketpair),
        // Rings make the calls that a filter refuses.
        REFUSE(SYS_io_uring_setup),
        // Other processes of the same user.
        REFUSE(SYS_kill),
        REFUSE(SYS_tkill),
        REFUSE(SYS_rt_sigqueueinfo),
        REFUSE(SYS_rt_tgsigqueueinfo),
        REFUSE(SYS_pidfd_open),
        REFUSE(SYS_pidfd_send_signal),
        REFUSE(SYS_pidfd_getfd),
        REFUSE(SYS_ptrace),
        REFUSE(SYS_process_vm_readv),
        REFUSE(SYS_process_vm_writev),
        REFUSE(SYS_process_madvise),
        REFUSE(SYS_kcmp),
        REFUSE(SYS_setpriority),
        REFUSE(SYS_ioprio_set),
        REFUSE(SYS_sched_setaffinity),
        REFUSE(SYS_sched_setscheduler),
        REFUSE(SYS_sched_setparam),
        REFUSE(SYS_sched_setattr),
        REFUSE(SYS_move_pages),
        REFUSE(SYS_migrate_pages),
        ONLY_FOR(SYS_tgkill, self),
        ONLY_FOR(SYS_prlimit64, self),
        // What Linux has had the most faults in, and no reader of images needs.
        REFUSE(SYS_unshare),
        REFUSE(SYS_setns),
        REFUSE(SYS_mount),
        REFUSE(SYS_umount2),
        REFUSE(SYS_move_mount),
        REFUSE(SYS_open_tree),
        REFUSE(SYS_fsopen),
        REFUSE(SYS_fspick),
        REFUSE(SYS_pivot_root),
        REFUSE(SYS_chroot),
        REFUSE(SYS_bpf),
        REFUSE(SYS_perf_event_open),
        REFUSE(SYS_userfaultfd),
        REFUSE(SYS_add_key),
        REFUSE(SYS_request_key),
        REFUSE(SYS_keyctl),
        // Files that others own or would keep: links, modes, owners.
        REFUSE(SYS_open_by_handle_at),
        REFUSE(SYS_name_to_handle_at),
        REFUSE(SYS_fchmod),
        REFUSE(SYS_fchmodat),
        REFUSE(SYS_fchown),
        REFUSE(SYS_fchownat),
        REFUSE(SYS_setxattr),
        REFUSE(SYS_fsetxattr),
        REFUSE(SYS_lsetxattr),
#if defined(__x86_64__)
        REFUSE(SYS_chmod),
        REFUSE(SYS_chown),
        REFUSE(SYS_lchown),
#endif
        ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

// A limit that is lower already stays as it is.
static int limit(int resource, uint64_t value)
{
    struct rlimit now;
    if (getrlimit(resource, &now) < 0)
        return -errno;
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value)
        value = now.rlim_max;
    struct rlimit wanted = {.rlim_cur = value, .rlim_max = value};
    return setrlimit(resource, &wanted) < 0 ? -errno : 0;
}

int clinux_sandbox_enter(const struct clinux_sandbox *sandbox)
{
    const struct {
        int resource;
        uint64_t value;
    } limits[] = {
        {RLIMIT_AS, sandbox->memory_bytes}, {RLIMIT_FSIZE, sandbox->file_bytes}, {RLIMIT_CPU, sandbox->cpu_seconds},
        {RLIMIT_NOFILE, sandbox->open_files}, {RLIMIT_CORE, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int result = limit(limits[i].resource, limits[i].value);
        if (result < 0)
            return result;
    }
    // Only who may make namespaces gets an empty network. The filter refuses sockets in any case.
    (void)unshare(CLONE_NEWNET | CLONE_NEWIPC);
    int result = clinux_give_up_capabilities();
    if (result == 0)
        result = confine_files(sandbox);
    return result < 0 ? result : confine_calls();
}
