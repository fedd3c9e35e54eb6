// What the metadata service needs of the kernel's network: who has an address,
// and an address of its own on an interface. All work in the network namespace
// of the calling thread.
#ifndef HOSTLER_NEIGHBOUR_H
#define HOSTLER_NEIGHBOUR_H

#include <stdint.h>

/// A socket to ask neighbours with; it stays in the namespace it was made in. A negated errno when it failed.
int clinux_neighbour_socket(void);

/// The MAC address that the kernel's neighbour table has for `address` (host
/// byte order) on an interface. 1: found; 0: none, or not resolved; else a
/// negated errno.
int clinux_neighbour(int socket, const char *interface, uint32_t address, uint8_t mac[6]);

/// Adds an address (host byte order) to an interface, of link scope. 0: added;
/// 1: it was there; else a negated errno.
int clinux_address_add(const char *interface, uint32_t address, uint8_t prefix_length);
int clinux_address_remove(const char *interface, uint32_t address, uint8_t prefix_length);

/// The same for IPv6, of global scope and without duplicate address detection.
int clinux_address6_add(const char *interface, const uint8_t address[16], uint8_t prefix_length);
int clinux_address6_remove(const char *interface, const uint8_t address[16], uint8_t prefix_length);

/// A socket to ask IPv6 neighbours with, one question at a time; it stays in the namespace it was made in. A negated
/// errno when it failed.
int clinux_route_socket(void);

/// As `clinux_neighbour`, for IPv6 (rtnetlink(7), RTM_GETNEIGH; Linux 5.0).
int clinux_neighbour6(int socket, const char *interface, const uint8_t address[16], uint8_t mac[6]);

/// Raises the soft limit of open files to the hard one. The limit that there is now, or a negated errno.
int clinux_raise_file_limit(void);

#endif
