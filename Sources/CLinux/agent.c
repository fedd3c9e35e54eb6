#define _GNU_SOURCE
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/ipmi.h>
#include <linux/kexec.h>
#include <linux/nvme_ioctl.h>
#include <linux/reboot.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <scsi/sg.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef BLKSECDISCARD
#define BLKSECDISCARD _IO(0x12, 125)
#endif
#ifndef BLKZEROOUT
#define BLKZEROOUT _IO(0x12, 127)
#endif

static int result(int value) { return value < 0 ? -errno : value; }

// Process 1 and the system.

static void signals_of_process_1(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
}

// The Swift runtime reads /proc before main and aborts where it is missing;
// threads inherit the signal mask, so it too is set before any starts.
// `clinux` is linked into other programs: only process 1 of a ramdisk, which
// is the one that has no /proc, is touched.
__attribute__((constructor(101))) static void mount_before_main(void) {
    if (getpid() != 1 || access("/proc/self", F_OK) == 0) return;
    mkdir("/proc", 0555);
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mkdir("/sys", 0555);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    mkdir("/dev/pts", 0755);
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
    mkdir("/run", 0755);
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    mkdir("/tmp", 01777);
    // A ramdisk without /dev/console starts process 1 with no files open.
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console < 0) console = open("/dev/null", O_RDWR);
    if (console >= 0) {
        for (int fd = 0; fd < 3; fd++) dup2(console, fd);
        if (console > 2) close(console);
    }
    sigset_t set;
    signals_of_process_1(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int agent_signal_fd(void) {
    sigset_t set;
    signals_of_process_1(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int agent_next_signal(int fd) {
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

void agent_catch_ctrl_alt_del(void) { reboot(LINUX_REBOOT_CMD_CAD_OFF); }

pid_t agent_spawn(const char *path, char *const argv[], char *const envp[], int stderr_fd) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    if (stderr_fd >= 0) posix_spawn_file_actions_adddup2(&actions, stderr_fd, 2);
    pid_t pid = 0;
    int error = posix_spawn(&pid, path, &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error ? -error : pid;
}

int agent_pipe(int ends[2]) { return result(pipe2(ends, O_CLOEXEC)); }

pid_t agent_reap(pid_t pid, bool wait, int *exit_code, int *signal) {
    int status = 0;
    pid_t ended;
    do ended = waitpid(pid, &status, wait ? 0 : WNOHANG);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) return errno == ECHILD ? 0 : -errno;
    *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return ended;
}

int agent_restart(enum agent_restart how) {
    sync();
    switch (how) {
    case AGENT_RESTART: return result(reboot(RB_AUTOBOOT));
    case AGENT_POWER_OFF: return result(reboot(RB_POWER_OFF));
    case AGENT_KEXEC: return result(reboot(LINUX_REBOOT_CMD_KEXEC));
    }
    return -EINVAL;
}

int agent_load_module(int fd) { return result((int)syscall(SYS_finit_module, fd, "", 0)); }

int agent_kexec_load(int kernel_fd, int initrd_fd, const char *arguments) {
    return result((int)syscall(SYS_kexec_file_load, kernel_fd, initrd_fd, strlen(arguments) + 1, arguments, 0UL));
}

int agent_mount(const char *source, const char *target, const char *type, bool read_only) {
    return result(mount(source, target, type, read_only ? MS_RDONLY : 0, NULL));
}

int agent_unmount(const char *target) { return result(umount2(target, 0)); }

int64_t agent_uptime_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int agent_set_immutable(const char *path, bool immutable) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return -errno;
    int flags = 0, code = ioctl(fd, FS_IOC_GETFLAGS, &flags);
    if (code == 0) {
        flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
        code = ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    code = result(code);
    close(fd);
    return code;
}

// Network.

static void set_name(struct ifreq *request, const char *name) {
    memset(request, 0, sizeof *request);
    strncpy(request->ifr_name, name, IFNAMSIZ - 1);
}

static void set_inet(struct sockaddr *place, uint32_t address) {
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    memcpy(place, &inet, sizeof inet);
}

static int with_socket(unsigned long request, void *argument) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int code = result(ioctl(fd, request, argument));
    close(fd);
    return code;
}

int agent_link_up(const char *name) {
    struct ifreq request;
    set_name(&request, name);
    int code = with_socket(SIOCGIFFLAGS, &request);
    if (code < 0) return code;
    if (request.ifr_flags & IFF_UP) return 0;
    request.ifr_flags |= IFF_UP;
    return with_socket(SIOCSIFFLAGS, &request);
}

int agent_set_address(const char *name, uint32_t address, uint32_t mask) {
    struct ifreq request;
    set_name(&request, name);
    set_inet(&request.ifr_addr, address);
    int code = with_socket(SIOCSIFADDR, &request);
    if (code < 0) return code;
    set_name(&request, name);
    set_inet(&request.ifr_netmask, mask);
    return with_socket(SIOCSIFNETMASK, &request);
}

int agent_add_default_route(uint32_t gateway) {
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    set_inet(&route.rt_dst, 0);
    set_inet(&route.rt_genmask, 0);
    set_inet(&route.rt_gateway, gateway);
    int code = with_socket(SIOCADDRT, &route);
    return code == -EEXIST ? 0 : code;
}

int agent_packet_socket(const char *name, uint16_t ether_type, const uint8_t *multicast) {
    int index = (int)if_nametoindex(name);
    if (index == 0) return -errno;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ether_type));
    if (fd < 0) return -errno;
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ether_type), .sll_ifindex = index};
    int code = bind(fd, (struct sockaddr *)&address, sizeof address);
    if (code == 0 && multicast) {
        struct packet_mreq membership = {.mr_ifindex = index, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
        memcpy(membership.mr_address, multicast, 6);
        code = setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership);
    }
    if (code < 0) {
        code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

ssize_t agent_packet_send(int fd, const char *name, const uint8_t *frame, size_t count) {
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name), .sll_halen = 6};
    if (count < 14) return -EINVAL;
    memcpy(address.sll_addr, frame, 6);
    memcpy(&address.sll_protocol, frame + 12, 2);
    ssize_t sent = sendto(fd, frame, count, 0, (struct sockaddr *)&address, sizeof address);
    return sent < 0 ? -errno : sent;
}

int agent_udp_socket(const char *name, uint16_t port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return -errno;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

ssize_t agent_udp_send(int fd, uint32_t address, uint16_t port, const uint8_t *bytes, size_t count) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    ssize_t sent = sendto(fd, bytes, count, 0, (struct sockaddr *)&to, sizeof to);
    return sent < 0 ? -errno : sent;
}

ssize_t agent_receive(int fd, uint8_t *bytes, size_t limit, int timeout_milliseconds) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready = poll(&wait, 1, timeout_milliseconds);
    if (ready == 0) return -EAGAIN;
    if (ready < 0) return -errno;
    ssize_t count = recv(fd, bytes, limit, MSG_DONTWAIT);
    return count < 0 ? -errno : count;
}

// Block devices.

int agent_disk_bytes(int fd, uint64_t *bytes) { return result(ioctl(fd, BLKGETSIZE64, bytes)); }
int agent_disk_sector_bytes(int fd, int *logical) { return result(ioctl(fd, BLKSSZGET, logical)); }

int agent_disk_zero_out(int fd, uint64_t offset, uint64_t length) {
    uint64_t range[2] = {offset, length};
    return result(ioctl(fd, BLKZEROOUT, range));
}

int agent_disk_punch(int fd, uint64_t offset, uint64_t length) {
    return result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length));
}

int agent_disk_discard(int fd, uint64_t offset, uint64_t length, bool secure) {
    uint64_t range[2] = {offset, length};
    return result(ioctl(fd, secure ? BLKSECDISCARD : BLKDISCARD, range));
}

int agent_disk_flush_cache(int fd) { return result(ioctl(fd, BLKFLSBUF, 0)); }
int agent_disk_reread_partitions(int fd) { return result(ioctl(fd, BLKRRPART, 0)); }

int agent_open_direct(const char *path) { return result(open(path, O_RDWR | O_DIRECT | O_CLOEXEC)); }

void *agent_aligned_memory(size_t count) {
    void *memory = NULL;
    return posix_memalign(&memory, 4096, count) == 0 ? memory : NULL;
}

bool agent_is_zero(const void *bytes, size_t count) {
    const unsigned char *byte = bytes;
    return count == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, count - 1) == 0);
}

// Commands to disks.

int agent_nvme_admin(int fd, const struct agent_nvme_command *command, void *data, uint32_t count) {
    struct nvme_admin_cmd raw = {
        .opcode = command->opcode,
        .nsid = command->nsid,
        .addr = (uint64_t)(uintptr_t)data,
        .data_len = count,
        .cdw10 = command->cdw10,
        .timeout_ms = command->timeout_milliseconds,
    };
    return result(ioctl(fd, NVME_IOCTL_ADMIN_CMD, &raw));
}

int agent_nvme_namespace(int fd) { return result(ioctl(fd, NVME_IOCTL_ID)); }

int agent_ata_command(int fd, uint8_t command, uint8_t count, bool out, void *data, uint32_t length,
                      uint32_t timeout_milliseconds) {
    // SAT-4 §12.2.2.3: protocol 3 no data, 4 PIO in, 5 PIO out; T_LENGTH in the count field, in blocks.
    uint8_t protocol = length == 0 ? 3 : out ? 5 : 4;
    uint8_t flags = length == 0 ? 0x20 : (uint8_t)(0x06 | (out ? 0 : 0x08));
    uint8_t cdb[16] = {0x85, (uint8_t)(protocol << 1), flags};
    cdb[6] = count;
    cdb[14] = command;
    uint8_t sense[32] = {0};
    sg_io_hdr_t io = {
        .interface_id = 'S',
        .dxfer_direction = length == 0 ? SG_DXFER_NONE : out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV,
        .cmd_len = sizeof cdb,
        .mx_sb_len = sizeof sense,
        .dxfer_len = length,
        .dxferp = data,
        .cmdp = cdb,
        .sbp = sense,
        .timeout = timeout_milliseconds,
    };
    if (ioctl(fd, SG_IO, &io) < 0) return -errno;
    if (io.host_status || (io.driver_status & ~8u)) return 255;
    if (io.status == 0) return 0;
    // With CK_COND the device answers "recovered error" and the ATA registers: that is success
    // unless the status register has ERR or DF.
    if ((sense[1] & 0x0f) == 1 && sense[8] == 0x09 && (sense[21] & 0x21) == 0) return 0;
    return io.status;
}

// BMC.

ssize_t agent_ipmi(int fd, uint8_t netfn, uint8_t command, const uint8_t *request, size_t request_count, uint8_t *reply,
                   size_t limit, int timeout_milliseconds) {
    struct ipmi_system_interface_addr address = {
        .addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE, .channel = IPMI_BMC_CHANNEL};
    struct ipmi_req message = {
        .addr = (unsigned char *)&address,
        .addr_len = sizeof address,
        .msgid = 1,
        .msg = {.netfn = netfn, .cmd = command, .data = (unsigned char *)request, .data_len = (unsigned short)request_count},
    };
    if (ioctl(fd, IPMICTL_SEND_COMMAND, &message) < 0) return -errno;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready = poll(&wait, 1, timeout_milliseconds);
    if (ready <= 0) return ready == 0 ? -ETIMEDOUT : -errno;
    struct ipmi_addr from;
    struct ipmi_recv answer = {
        .addr = (unsigned char *)&from,
        .addr_len = sizeof from,
        .msg = {.data = reply, .data_len = (unsigned short)limit},
    };
    if (ioctl(fd, IPMICTL_RECEIVE_MSG_TRUNC, &answer) < 0) return -errno;
    return answer.msg.data_len;
}
