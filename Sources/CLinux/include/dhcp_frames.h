// The frames of those DHCP messages whose sender must be known: a UDP socket
// does not say which port a message came from.
#ifndef HOSTLER_DHCP_FRAMES_H
#define HOSTLER_DHCP_FRAMES_H

#include <stddef.h>
#include <stdint.h>

/// A socket that gets what is sent to UDP port 67 on an interface of the
/// thread's namespace: DHCPDECLINE and DHCPRELEASE with the message type as
/// first option, as clients have it, and every message that names a relay or
/// an address that its client has. Needs CAP_NET_RAW. A negated errno when it failed.
int clinux_dhcp_frames(const char *interface);

/// The next one, from its IP header on, without waiting, and its frame's source.
/// Its bytes; 0: there is none; else a negated errno.
long clinux_dhcp_frame(int socket, uint8_t *packet, size_t size, uint8_t mac[6]);

#endif
