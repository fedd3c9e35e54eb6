// What hostler-init needs of Linux that Swift cannot reach: ioctls, raw
// sockets, system calls without a wrapper, and the mounts before `main`.
//
// Unless a comment says otherwise a function returns 0 or a count, and a
// negated errno when it failed.
#ifndef HOSTLER_AGENT_H
#define HOSTLER_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Process 1 and the system.
/// Blocks the signals that process 1 waits for (SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGUSR2) and gives a signalfd of them.
int agent_signal_fd(void);
/// The next signal from a signalfd, 0 where there is none.
int agent_next_signal(int fd);
/// Asks the kernel to send SIGINT instead of restarting at ctrl-alt-del.
void agent_catch_ctrl_alt_del(void);
/// Starts `path` with stderr going to `stderr_fd` (-1: unchanged), signals unblocked, in a session of its own.
pid_t agent_spawn(const char *path, char *const argv[], char *const envp[], int stderr_fd);
/// A pipe whose ends are closed at exec.
int agent_pipe(int ends[2]);
/// Reaps one child. `exit_code` is -1 where a signal ended it, `signal` then says which.
/// Returns its pid, 0 where none has ended.
pid_t agent_reap(pid_t pid, bool wait, int *exit_code, int *signal);
enum agent_restart { AGENT_RESTART, AGENT_POWER_OFF, AGENT_KEXEC };
int agent_restart(enum agent_restart how);
int agent_load_module(int fd);
int agent_kexec_load(int kernel_fd, int initrd_fd, const char *arguments);
int agent_mount(const char *source, const char *target, const char *type, bool read_only);
int agent_unmount(const char *target);
/// Milliseconds since the kernel started.
int64_t agent_uptime_milliseconds(void);
/// Takes the immutable flag of a file away or sets it again (efivarfs).
int agent_set_immutable(const char *path, bool immutable);

// Network.
int agent_link_up(const char *name);
/// Addresses in host byte order.
int agent_set_address(const char *name, uint32_t address, uint32_t mask);
int agent_add_default_route(uint32_t gateway);
/// A raw packet socket that hears one Ethernet type on one interface; multicast of that type included.
int agent_packet_socket(const char *name, uint16_t ether_type, const uint8_t *multicast);
/// Sends a whole Ethernet frame.
ssize_t agent_packet_send(int fd, const char *name, const uint8_t *frame, size_t count);
/// A UDP socket on `port`, bound to one interface, that may broadcast.
int agent_udp_socket(const char *name, uint16_t port);
ssize_t agent_udp_send(int fd, uint32_t address, uint16_t port, const uint8_t *bytes, size_t count);
/// Waits for a datagram or frame. -EAGAIN where none came in time.
ssize_t agent_receive(int fd, uint8_t *bytes, size_t limit, int timeout_milliseconds);

// Block devices.
int agent_disk_bytes(int fd, uint64_t *bytes);
int agent_disk_sector_bytes(int fd, int *logical);
int agent_disk_zero_out(int fd, uint64_t offset, uint64_t length);
/// Zeros by the device's own unmap; fails where the device cannot promise zeros. Never falls back to writing.
int agent_disk_punch(int fd, uint64_t offset, uint64_t length);
int agent_disk_discard(int fd, uint64_t offset, uint64_t length, bool secure);
int agent_disk_flush_cache(int fd);
int agent_disk_reread_partitions(int fd);
int agent_open_direct(const char *path);
/// Memory aligned to a page, freed by free().
void *agent_aligned_memory(size_t count);
bool agent_is_zero(const void *bytes, size_t count);

// Commands to disks.
struct agent_nvme_command {
    uint8_t opcode;
    uint32_t nsid;
    uint32_t cdw10;
    uint32_t timeout_milliseconds;
};
/// An NVMe admin command with a buffer to fill. A positive result is the NVMe status.
int agent_nvme_admin(int fd, const struct agent_nvme_command *command, void *data, uint32_t count);
int agent_nvme_namespace(int fd);
/// ATA PASS-THROUGH(16) by SG_IO: PIO, `out` says the direction. A positive result is a SCSI status.
int agent_ata_command(int fd, uint8_t command, uint8_t count, bool out, void *data, uint32_t length, uint32_t timeout_milliseconds);

// BMC by /dev/ipmi0.
/// Sends an IPMI request to the BMC and waits for its reply (completion code first).
ssize_t agent_ipmi(int fd, uint8_t netfn, uint8_t command, const uint8_t *request, size_t request_count, uint8_t *reply,
                   size_t limit, int timeout_milliseconds);
#endif
