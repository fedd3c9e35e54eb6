#define _GNU_SOURCE
#include "confinement.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))

static int get(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    *effective = data[0].effective | (uint64_t)data[1].effective << 32;
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    *inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

static int set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted, .inheritable = (uint32_t)inheritable},
        {.effective = effective >> 32, .permitted = permitted >> 32, .inheritable = inheritable >> 32},
    };
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int clinux_capabilities(struct clinux_capabilities *found)
{
    memset(found, 0, sizeof *found);
    int result = get(&found->effective, &found->permitted, &found->inheritable);
    if (result < 0)
        return result;
    for (int number = 0; number < 64; number++) {
        int bounding = prctl(PR_CAPBSET_READ, number, 0, 0, 0);
        // The kernel has no more than these.
        if (bounding < 0)
            break;
        if (bounding == 1)
            found->bounding |= BIT(number);
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) == 1)
            found->ambient |= BIT(number);
    }
    return 0;
}

int clinux_has_no_new_privileges(void) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1; }

int clinux_root_is_powerless(void)
{
    int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    return bits >= 0 && (bits & SECBIT_NOROOT) != 0;
}

static const int locked_bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED;

int clinux_give_up_capabilities(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    uint64_t effective, permitted, inheritable;
    int result = get(&effective, &permitted, &inheritable);
    if (result < 0)
        return result;
    if (effective & BIT(CAP_SETPCAP)) {
        for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
            if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
                return -errno;
        if (prctl(PR_SET_SECUREBITS, locked_bits | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) < 0)
            return -errno;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    if ((effective | permitted | inheritable) == 0)
        return 0;
    result = set(0, 0, 0);
    // A unit's filter may refuse capset. exec takes them away as well: from whom it does not give root's.
    return result == -EPERM && (geteuid() != 0 || clinux_root_is_powerless()) ? 0 : result;
}

static int become_thread(uid_t user, gid_t group)
{
    if (user == getuid() && user == geteuid())
        return 0;
    // The calls themselves, without the C library's message to other threads: those end with the program.
    if (syscall(SYS_setgroups, 1, &group) < 0 || syscall(SYS_setresgid, group, group, group) < 0
        || syscall(SYS_setresuid, user, user, user) < 0)
        return -errno;
    return 0;
}

int clinux_start_confined(uint64_t keep, uid_t user, gid_t group, char *const argv[])
{
    uint64_t effective, permitted, inheritable;
    int result = get(&effective, &permitted, &inheritable);
    if (result < 0)
        return result;
    keep &= permitted;
    if (effective & BIT(CAP_SETPCAP)) {
        for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
            if (!(keep & BIT(number)) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
                return -errno;
        if (prctl(PR_SET_SECUREBITS, locked_bits | SECBIT_KEEP_CAPS, 0, 0, 0) < 0)
            return -errno;
    }
    result = become_thread(user, group);
    if (result == 0)
        result = set(keep, keep, keep);
    if (result < 0)
        return result;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    for (int number = 0; number < 64; number++)
        if ((keep & BIT(number)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
            return -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    execv("/proc/self/exe", argv);
    return -errno;
}

// Ambient capabilities go to every program that is started: ipmitool, an operator's own, qemu-img. None of them needs
// the network's. CAP_SYS_ADMIN is there only where BMCs are in a namespace, and `ip netns exec` needs it; this program
// itself has it in effect only while a thread enters a namespace. Before main there is one thread, which all others
// take after.
__attribute__((constructor)) static void keep_capabilities_to_ourselves(void)
{
    uint64_t effective, permitted, inheritable;
    if (get(&effective, &permitted, &inheritable) < 0)
        return;
    int has_ambient = 0;
    for (int number = 0; number < 64; number++) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) != 1)
            continue;
        has_ambient = 1;
        if (number != CAP_SYS_ADMIN)
            (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, number, 0, 0);
    }
    if (has_ambient)
        clinux_lower_sys_admin();
}

int clinux_raise_sys_admin(void)
{
    uint64_t effective, permitted, inheritable;
    int result = get(&effective, &permitted, &inheritable);
    if (result < 0 || (effective & BIT(CAP_SYS_ADMIN)))
        return result;
    if (!(permitted & BIT(CAP_SYS_ADMIN)))
        return -EPERM;
    result = set(effective | BIT(CAP_SYS_ADMIN), permitted, inheritable);
    return result < 0 ? result : 1;
}

void clinux_lower_sys_admin(void)
{
    uint64_t effective, permitted, inheritable;
    if (get(&effective, &permitted, &inheritable) == 0 && (effective & BIT(CAP_SYS_ADMIN)))
        (void)set(effective & ~BIT(CAP_SYS_ADMIN), permitted, inheritable);
}

int clinux_become_user(uid_t user, gid_t group)
{
    if (setgroups(1, &group) < 0 || setresgid(group, group, group) < 0 || setresuid(user, user, user) < 0)
        return -errno;
    return 0;
}
