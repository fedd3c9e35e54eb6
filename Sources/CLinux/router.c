#define _GNU_SOURCE
#include "router.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdio.h>
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
    int link = (int)routers.ipv6mr_interface;
    // What this host says to others it need not hear itself.
    int loop = 0;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &routers, sizeof routers) < 0
        || setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &link, sizeof link) < 0
        || setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loop, sizeof loop) < 0)
        return -errno;
    return 0;
}

// Whether IPv6 was switched off there, where a socket can be had all the same and hears nothing (Linux,
// Documentation/networking/ip-sysctl.rst). The file is the one of the thread's namespace.
static int is_disabled(const char *interface)
{
    char path[64 + IFNAMSIZ];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char value = '0';
    ssize_t count = read(fd, &value, 1);
    close(fd);
    return count == 1 && value == '1';
}

int clinux_router_socket(const char *interface)
{
    if (is_disabled(interface))
        return -EADDRNOTAVAIL;
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

int clinux_router_solicit(const char *interface)
{
    int fd = clinux_router_socket(interface);
    if (fd < 0)
        return fd;
    // RFC 4861 section 4.1; the kernel adds the checksum. It does not say our link-layer address: whoever answers may
    // tell everybody.
    unsigned char message[8] = {ND_ROUTER_SOLICIT};
    struct sockaddr_in6 routers = {.sin6_family = AF_INET6, .sin6_scope_id = if_nametoindex(interface)};
    routers.sin6_addr.s6_addr[0] = 0xff;
    routers.sin6_addr.s6_addr[1] = 0x02;
    routers.sin6_addr.s6_addr[15] = 0x02;
    int result = sendto(fd, message, sizeof message, 0, (struct sockaddr *)&routers, sizeof routers) < 0 ? -errno : 0;
    close(fd);
    return result;
}
