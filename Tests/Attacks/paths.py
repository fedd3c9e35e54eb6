"""Importing this makes the project's own scripts importable, the rack and the played machine that other tests use, and
settles which program is attacked: `HOSTLER`, else the release build, else the debug build."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = [ROOT / "out/bin/hostler", ROOT / ".build/debug/hostler"]
HOSTLER = os.path.abspath(os.environ.get("HOSTLER") or next((path for path in BUILT if path.exists()), BUILT[0]))
os.environ["HOSTLER"] = HOSTLER
sys.dont_write_bytecode = True
if str(ROOT / "scripts") not in sys.path:
    sys.path.insert(1, str(ROOT / "scripts"))
