#define _GNU_SOURCE
#include "router.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int prepare(int fd, const char *interface)
{
    struct icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ND_ROUTER_SOLICIT, &filter);
    ICMP6_FILTER_SETPASS(ND_ROUTER_ADVERT, &filter);
    // The filter first: what arrives before it would be kept.
    if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface)) < 0)
        return -errno;
    int hops = 255;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof hops) < 0)
        return -errno;
    struct ipv6_mreq routers;
    memset(&routers, 0, sizeof routers);
    routers.ipv6mr_multiaddr.s6_addr[0] = 0xff;
    routers.ipv6mr_multiaddr.s6_addr[1] = 0x02;
    routers.ipv6mr_multiaddr.s6_addr[15] = 0x02;
    routers.ipv6mr_interface = if_nametoindex(interface);
    if (routers.ipv6mr_interface == 0)
        return -errno;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &routers, sizeof routers) < 0)
        return -errno;
    return 0;
}

int clinux_router_socket(const char *interface)
{
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
    if (fd < 0)
        return -errno;
    int result = prepare(fd, interface);
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}
