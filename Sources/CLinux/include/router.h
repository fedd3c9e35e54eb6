// IPv6 router discovery, as a raw socket hears and speaks it.
#ifndef HOSTLER_CLINUX_ROUTER_H
#define HOSTLER_CLINUX_ROUTER_H

/// A non-blocking ICMPv6 socket in the calling thread's network namespace, tied to one interface: it hears router
/// solicitations (as a member of ff02::2, RFC 4291 §2.7.1) and advertisements and nothing else, and sends with hop
/// limit 255, as RFC 4861 §6.1 asks. A negated errno where the interface has no IPv6.
int clinux_router_socket(const char *interface);

/// Asks the link's routers to say that they are there (RFC 4861 §6.3.7). 0, or a negated errno: where the interface has
/// no address that it may speak from yet, EADDRNOTAVAIL.
int clinux_router_solicit(const char *interface);

#endif
