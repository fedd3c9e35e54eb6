#ifndef HOSTLER_CLINUX_H
#define HOSTLER_CLINUX_H

#include "confinement.h"
#include "dhcp_frames.h"
#include "namespace.h"
#include "neighbour.h"
#include "router.h"
#include "sandbox.h"
#if __has_include("agent.h")
#include "agent.h"
#endif

#endif
