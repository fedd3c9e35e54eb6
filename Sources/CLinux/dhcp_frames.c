#define _GNU_SOURCE
#include "dhcp_frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// From the IP header on (SOCK_DGRAM). A load past the packet's end refuses it.
static struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), // protocol
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 15),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6), // fragment offset
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 13, 0),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), // the IP header's bytes
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), // UDP destination port
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 67, 0, 10),
    BPF_STMT(BPF_LD | BPF_W | BPF_IND, 8 + 12), // ciaddr (RFC 2131 §2)
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7),
    BPF_STMT(BPF_LD | BPF_W | BPF_IND, 8 + 24), // giaddr
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 5),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 8 + 240), // first option: 53, of one byte (RFC 2132 §9.6)
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x3501, 0, 4),
    BPF_STMT(BPF_LD | BPF_B | BPF_IND, 8 + 242),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0), // DHCPDECLINE
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 0, 1), // DHCPRELEASE
    BPF_STMT(BPF_RET | BPF_K, 0xffff),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static int prepare(int fd, const char *interface)
{
    struct sock_fprog filter = { .len = sizeof program / sizeof *program, .filter = program };
    // Before it is bound to a protocol: until then it gets nothing.
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0)
        return -errno;
    struct sockaddr_ll address;
    memset(&address, 0, sizeof address);
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_IP);
    address.sll_ifindex = (int)if_nametoindex(interface);
    if (address.sll_ifindex == 0)
        return -errno;
    return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

int clinux_dhcp_frames(const char *interface)
{
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = prepare(fd, interface);
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}

long clinux_dhcp_frame(int socket, uint8_t *packet, size_t size, uint8_t mac[6])
{
    struct sockaddr_ll source;
    for (;;) {
        socklen_t length = sizeof source;
        ssize_t count = recvfrom(socket, packet, size, MSG_DONTWAIT, (struct sockaddr *)&source, &length);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        }
        if (source.sll_pkttype == PACKET_OUTGOING || source.sll_halen != 6 || count == 0)
            continue;
        memcpy(mac, source.sll_addr, 6);
        return count;
    }
}
