"""Processor time and peak memory of the processes of a stack, from the operating system (Linux)."""

from pathlib import Path

import psutil

from deploy.local.stack import Stack

MIB_KIB = 1024


def processor_seconds(stack: Stack) -> dict[str, float]:
    """User and system time since its start of every process by name; the broker goes by its product's name.

    The names are those of the stack: ``mongod``, ``kafka``, ``gateway-1``, ``writer-2``, …
    """
    times = {name: psutil.Process(pid).cpu_times() for name, pid in pids(stack).items()}
    return {name: time.user + time.system for name, time in times.items()}


def machine_seconds() -> float:
    """User and system time of the whole machine since its start."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def reset_peaks(stack: Stack) -> None:
    """Let ``peak_mb`` begin anew (``man 5 proc``: 5 in ``clear_refs`` resets the peak)."""
    for pid in pids(stack).values():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(stack: Stack) -> dict[str, float]:
    """Largest resident set in MiB by service, of its instances the largest."""
    peaks: dict[str, float] = {}
    for name, pid in pids(stack).items():
        service = name.rpartition("-")[0] or name
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        peaks[service] = max(peaks.get(service, 0.0), round(kib / MIB_KIB, 1))
    return peaks


def pids(stack: Stack) -> dict[str, int]:
    """Process ids by name, as they are now."""
    processes = stack.supervisor.processes()
    return {stack.broker if name == "broker" else name: process.pid for name, process in processes.items()}
