#ifndef HOSTLER_CLINUX_H
#define HOSTLER_CLINUX_H

#include "namespace.h"
#include "neighbour.h"
#include "router.h"
#if __has_include("agent.h")
#include "agent.h"
#endif

#endif
