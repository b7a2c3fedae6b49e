"""A school's network in namespaces: machines on switches (VLANs) that a router joins, which passes on what is
sent to one machine and nothing that is sent to all. No Internet, no name server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class SchoolLan:
    """`machines`: the VLAN (1 to 9) of each; its device is eth0. End what runs there with `close`."""

    def __init__(self, machines: Mapping[str, int]) -> None:
        self._made: list[str] = []
        self._processes: list[subprocess.Popen[str]] = []
        self.addresses: dict[str, str] = {}
        try:
            router = self._namespace("router")
            for vlan in sorted(set(machines.values())):
                bridge = f"br{vlan}"
                _ip("-n", router, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
                _ip("-n", router, "address", "add", f"10.79.{vlan}.254/24", "dev", bridge)
                _ip("-n", router, "link", "set", bridge, "up")
            _ip("netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            for number, (name, vlan) in enumerate(machines.items(), 1):
                there = self._namespace(name)
                _ip("-n", router, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", there)
                _ip("-n", router, "link", "set", name, "master", f"br{vlan}", "up")
                self.addresses[name] = f"10.79.{vlan}.{number}"
                _ip(
                    "-n",
                    there,
                    "address",
                    "add",
                    f"{self.addresses[name]}/24",
                    "broadcast",
                    "+",
                    "dev",
                    "eth0",
                )
                _ip("-n", there, "link", "set", "eth0", "up")
                _ip("-n", there, "route", "add", "default", "via", f"10.79.{vlan}.254")
        except BaseException:
            self.close()
            raise

    def _namespace(self, name: str) -> str:
        made = f"lbl{os.getpid()}-{name}"
        _ip("netns", "add", made)
        self._made.append(made)
        _ip("-n", made, "link", "set", "lo", "up")
        return made

    def inside(self, machine: str, command: Sequence[str]) -> list[str]:
        """The command, to be carried out by that machine."""
        return ["ip", "netns", "exec", f"lbl{os.getpid()}-{machine}", *command]

    def run(self, machine: str, *command: str, ok: Sequence[int] = (0,)) -> str:
        """Carry out a command there; what it said."""
        done = subprocess.run(
            self.inside(machine, command), cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode in ok, f"{command}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout

    def python(self, machine: str, text: str, *words: str) -> str:
        """Let Python carry out a text there; what it said."""
        return self.run(machine, sys.executable, "-c", text, *words)

    def start(self, machine: str, *command: str) -> subprocess.Popen[str]:
        """Start a program there; its words are on stdout."""
        process = subprocess.Popen(
            self.inside(machine, command),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End what runs, take the namespaces away."""
        for process in self._processes:
            process.kill()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()
        for namespace in self._made:
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)
