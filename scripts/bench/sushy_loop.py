"""What an operator's script with sushy takes for a rack of BMCs. usage: sushy_loop.py FILE THREADS

FILE has lines of URL, user, password. First each is logged in to and read; then all are read again over the
connections that stay; then all are switched on, each read until it is on; then off. Prints seconds as JSON.
"""
import concurrent.futures
import json
import logging
import sys
import time
import warnings

import sushy
import sushy.auth

logging.disable(logging.ERROR)
warnings.simplefilter("ignore")


def connect(line):
    url, user, password = line.split()
    # Without this it waits for a minute on its own account where a BMC is busy.
    root = sushy.Sushy(url.rsplit("/redfish", 1)[0], auth=sushy.auth.SessionAuth(user, password), verify=False)
    system = root.get_system(root.get_system_collection().members_identities[0])
    assert system.power_state in (sushy.PowerState.ON, sushy.PowerState.OFF)
    return root, system


def read(connected):
    connected[1].refresh(force=True)
    return connected[1].power_state


def switch(connected, reset, wanted):
    connected[1].reset_system(reset)
    end = time.monotonic() + 120
    while read(connected) != wanted:
        assert time.monotonic() < end, "the power did not change"
        time.sleep(0.2)


def main():
    with open(sys.argv[1]) as file:
        lines = file.read().split("\n")[:-1]
    figures = {}
    with concurrent.futures.ThreadPoolExecutor(int(sys.argv[2])) as pool:
        def timed(name, work, items):
            start = time.monotonic()
            done = list(pool.map(work, items))
            figures[name] = time.monotonic() - start
            return done
        connected = timed("first_sweep", connect, lines)
        timed("sweep", read, connected)
        timed("power_on", lambda one: switch(one, sushy.ResetType.ON, sushy.PowerState.ON), connected)
        timed("power_off", lambda one: switch(one, sushy.ResetType.FORCE_OFF, sushy.PowerState.OFF), connected)
        for root, _ in connected:
            pool.submit(root._auth.close)
    print(json.dumps(figures))


main()
