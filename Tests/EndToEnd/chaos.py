"""What is done to an installation while it goes on."""
import time

from rack import Failed, check, until

AGENT_STEPS = ["boot-agent", "choose-disk", "write-image", "write-seed", "boot-order", "restart"]
STEPS = AGENT_STEPS + ["first-boot"]


def current(operation):
    """The name of the first step that is not done, and how far it is from 0 to 1."""
    for step in operation["steps"]:
        if step["state"] != "succeeded":
            progress = step.get("progress") or {"done": 0, "total": 0}
            return step["name"], progress["done"] / progress["total"] if progress["total"] else 0
    return None, 1


def reached(rack, operation, step, fraction=0, seconds=900):
    """Waits until a step is under way. False where the operation went past it meanwhile."""
    wanted = STEPS.index(step)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = rack.operation(operation)
        name, done = current(found)
        if name is None or STEPS.index(name) > wanted:
            return False
        if found["state"] != "running":
            raise Failed(f"{operation} is {found['state']} in {name}, before {step}: {found.get('problem')}")
        if name == step and done >= fraction:
            return True
        # A step may take a few milliseconds: no pause longer than one of them.
        time.sleep(0.002)
    raise Failed(f"{operation} did not reach {step} within {seconds} s")


def kill_at(rack, operation, step, fraction=0):
    """kill -9 of the control plane while a step is under way, and its start three seconds later."""
    hit = reached(rack, operation, step, fraction)
    with rack.turn:
        rack.kill()
        time.sleep(3)
        rack.start()
    return hit


def cut_at(rack, node, operation, step, fraction=0):
    """The machine's power is cut while a step is under way, and comes back two seconds later."""
    hit = reached(rack, operation, step, fraction)
    rack.power(node, "cut")
    time.sleep(2)
    rack.power(node, "on")
    return hit


def compare_before_first_boot(rack, node, operation, image):
    """Cuts the power when the agent has restarted the machine, compares its disk with the image, and puts the power back."""
    check(reached(rack, operation, "first-boot"), f"{operation} was over before its disk could be looked at")
    rack.power(node, "cut")
    wrong = image.differences(rack.disk(node))
    check(not wrong, f"{node}'s disk differs from the image in chunks {wrong[:10]} ({len(wrong)} in all)")
    rack.power(node, "on")


def install_was_one(rack, machine, operation):
    """The operation ended well, and it is the only installation that the machine ever had."""
    ended = rack.ended(operation)
    check(ended["state"] == "succeeded", f"{operation} ended {ended['state']}: {ended.get('problem')}")
    check([o["id"] for o in rack.installs_of(machine)] == [operation], "exactly one installation of the machine")
    check(rack.machine(machine)["state"] == "running", "the machine runs")
    check(rack.machine(machine)["installed"]["operation"] == operation, "its system is this installation's")
    return ended


def step_of(operation, name):
    return next(s for s in operation["steps"] if s["name"] == name)


def cut_cable_for_a_minute(rack, node, operation):
    """The cable is out for 60 s in the middle of the write. The write goes on from where it was."""
    check(reached(rack, operation, "write-image", 0.4), "the write was over before the cable could be pulled")
    before = step_of(rack.operation(operation), "write-image")
    rack.fault("inject", "link-down", node)
    time.sleep(60)
    during = step_of(rack.operation(operation), "write-image")
    check(during["state"] == "running", "the step waits for the cable")
    rack.fault("clear", "link-down", "--machine", node)
    until(60, "the write goes on", lambda: current(rack.operation(operation))[0] != "write-image"
          or step_of(rack.operation(operation), "write-image")["progress"]["done"] > during["progress"]["done"], pause=0.05)
    after = step_of(rack.operation(operation), "write-image")
    check(after["attempts"] == before["attempts"], "the step was not begun anew")
    check((after.get("progress") or before["progress"])["done"] >= before["progress"]["done"], "nothing was written twice")
