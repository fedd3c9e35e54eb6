#define _GNU_SOURCE
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

static int change_address(unsigned short type, unsigned short flags, const char *interface, uint32_t address, uint8_t prefix_length)
{
    unsigned index = if_nametoindex(interface);
    if (index == 0)
        return -errno;
    struct request request;
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = NLMSG_LENGTH(sizeof request.address);
    request.head.nlmsg_type = type;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    request.address.ifa_family = AF_INET;
    request.address.ifa_prefixlen = prefix_length;
    request.address.ifa_scope = RT_SCOPE_LINK;
    request.address.ifa_index = index;
    uint32_t order = htonl(address);
    add_attribute(&request, IFA_LOCAL, &order, sizeof order);
    add_attribute(&request, IFA_ADDRESS, &order, sizeof order);
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
    int result = change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, interface, address, prefix_length);
    return result == -EEXIST ? 1 : result;
}

int clinux_address_remove(const char *interface, uint32_t address, uint8_t prefix_length)
{
    return change_address(RTM_DELADDR, 0, interface, address, prefix_length);
}

int clinux_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}
