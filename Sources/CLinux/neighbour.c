#define _GNU_SOURCE
#include <limits.h>
#include "neighbour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int clinux_neighbour_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int clinux_neighbour(int fd, const char *interface, uint32_t address, uint8_t mac[6])
{
    struct arpreq request;
    memset(&request, 0, sizeof request);
    struct sockaddr_in *in = (struct sockaddr_in *)&request.arp_pa;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(address);
    strncpy(request.arp_dev, interface, sizeof request.arp_dev - 1);
    if (ioctl(fd, SIOCGARP, &request) < 0)
        return errno == ENXIO ? 0 : -errno;
    if (!(request.arp_flags & ATF_COM) || request.arp_ha.sa_family != ARPHRD_ETHER)
        return 0;
    memcpy(mac, request.arp_ha.sa_data, 6);
    return 1;
}

struct request {
    struct nlmsghdr head;
    struct ifaddrmsg address;
    char attributes[128];
};

static void add_attribute(struct request *request, unsigned short type, const void *data, unsigned short count)
{
    struct rtattr *attribute = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->head.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(count);
    memcpy(RTA_DATA(attribute), data, count);
    request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

// Sends a request and takes its answer into `reply`. The answer's length, or a negated errno.
static ssize_t converse(struct request *request, void *reply, size_t limit)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t count = sendto(fd, request, request->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel);
    if (count >= 0) {
        do
            count = recv(fd, reply, limit, 0);
        while (count < 0 && errno == EINTR);
    }
    ssize_t result = count < 0 ? -errno : count;
    close(fd);
    return result;
}

// `address` in network byte order, 4 bytes or 16.
static int change_address(
    unsigned short type, unsigned short flags, const char *interface, const void *address, unsigned short bytes, uint8_t prefix_length)
{
    unsigned index = if_nametoindex(interface);
    if (index == 0)
        return -errno;
    struct request request;
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = NLMSG_LENGTH(sizeof request.address);
    request.head.nlmsg_type = type;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    request.address.ifa_family = bytes == 4 ? AF_INET : AF_INET6;
    request.address.ifa_prefixlen = prefix_length;
    request.address.ifa_scope = bytes == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    request.address.ifa_index = index;
    // Nobody else has it, and it must be there at once: no duplicate address detection.
    request.address.ifa_flags = bytes == 4 ? 0 : IFA_F_NODAD;
    add_attribute(&request, IFA_LOCAL, address, bytes);
    add_attribute(&request, IFA_ADDRESS, address, bytes);
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[512];
    } reply;
    ssize_t count = converse(&request, &reply, sizeof reply);
    if (count < 0)
        return (int)count;
    if (count < (ssize_t)NLMSG_LENGTH(sizeof reply.error) || reply.head.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return reply.error.error;
}

int clinux_address_add(const char *interface, uint32_t address, uint8_t prefix_length)
{
    uint32_t order = htonl(address);
    int result = change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, interface, &order, sizeof order, prefix_length);
    return result == -EEXIST ? 1 : result;
}

int clinux_address_remove(const char *interface, uint32_t address, uint8_t prefix_length)
{
    uint32_t order = htonl(address);
    return change_address(RTM_DELADDR, 0, interface, &order, sizeof order, prefix_length);
}

int clinux_address6_add(const char *interface, const uint8_t address[16], uint8_t prefix_length)
{
    int result = change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, interface, address, 16, prefix_length);
    return result == -EEXIST ? 1 : result;
}

int clinux_address6_remove(const char *interface, const uint8_t address[16], uint8_t prefix_length)
{
    return change_address(RTM_DELADDR, 0, interface, address, 16, prefix_length);
}

int clinux_route_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    // The kernel answers within the call that asks; this is for what cannot happen.
    struct timeval patience = {.tv_sec = 1};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

int clinux_neighbour6(int fd, const char *interface, const uint8_t address[16], uint8_t mac[6])
{
    // Any socket can be asked; the name is looked up in the namespace of this one.
    struct ifreq link;
    memset(&link, 0, sizeof link);
    strncpy(link.ifr_name, interface, sizeof link.ifr_name - 1);
    if (ioctl(fd, SIOCGIFINDEX, &link) < 0)
        return -errno;
    struct {
        struct nlmsghdr head;
        struct ndmsg neighbour;
        struct rtattr attribute;
        uint8_t address[16];
    } request;
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = sizeof request;
    request.head.nlmsg_type = RTM_GETNEIGH;
    request.head.nlmsg_flags = NLM_F_REQUEST;
    static _Atomic uint32_t sequence;
    request.head.nlmsg_seq = ++sequence;
    request.neighbour.ndm_family = AF_INET6;
    request.neighbour.ndm_ifindex = link.ifr_ifindex;
    request.attribute.rta_type = NDA_DST;
    request.attribute.rta_len = RTA_LENGTH(16);
    memcpy(request.address, address, 16);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return -errno;
    union {
        struct nlmsghdr head;
        char bytes[2048];
    } reply;
    ssize_t count;
    do {
        // What answers an older question, which timed out, is not the answer to this one.
        count = recv(fd, &reply, sizeof reply, 0);
    } while ((count < 0 && errno == EINTR) || (count >= (ssize_t)sizeof reply.head && reply.head.nlmsg_seq != request.head.nlmsg_seq));
    if (count < 0)
        return -errno;
    if (!NLMSG_OK(&reply.head, count))
        return -EPROTO;
    if (reply.head.nlmsg_type == NLMSG_ERROR) {
        int code = ((struct nlmsgerr *)NLMSG_DATA(&reply.head))->error;
        return code == -ENOENT ? 0 : code;
    }
    if (reply.head.nlmsg_type != RTM_NEWNEIGH)
        return -EPROTO;
    struct ndmsg *found = NLMSG_DATA(&reply.head);
    if (!(found->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)))
        return 0;
    int left = reply.head.nlmsg_len - NLMSG_LENGTH(sizeof *found);
    struct rtattr *attribute = (struct rtattr *)((char *)found + NLMSG_ALIGN(sizeof *found));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == NDA_LLADDR && RTA_PAYLOAD(attribute) == 6) {
            memcpy(mac, RTA_DATA(attribute), 6);
            return 1;
        }
    }
    return 0;
}

int clinux_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    return limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
}
