"""One supervisord per directory: starts programs, restarts those that die, stops them in order.

Everything here is configuration of and calls to `supervisor <http://supervisord.org>`_; the supervising itself is its.
"""

import hashlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from deploy.local.waiting import LocalStackError, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
# Every process of a stack inherits this variable, so that orphans of a killed supervisord are recognised beyond doubt.
MARKER = "ROWDOCK_SUPERVISED"
# sun_path holds 108 bytes on Linux and 104 on macOS, and supervisord appends its pid while it binds.
LONGEST_SOCKET_PATH = 90
# Of supervisor.xmlrpc.Faults: what it answers when somebody else was quicker, or the process died in between.
ALREADY_STARTED, NOT_RUNNING = 60, 70
DEATHS_WHILE_STARTING = 3
# XML-RPC has no keywords: the second argument of startProcess and stopProcess, here always negated.
WAIT = True


@dataclass(frozen=True, slots=True)
class Program:
    """A process that supervisord keeps alive.

    Attributes:
        name: unique; names its log file too.
        command: program and arguments.
        priority: programs of higher priority are stopped first.
        directory: its working directory.
        environment: added to the environment that supervisord was started with.
        stop_seconds: how long it may take to end after SIGTERM before it is killed.
    """

    name: str
    command: Sequence[str]
    priority: int
    directory: str = str(CHECKOUT)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    stop_seconds: int = 15


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A program as supervisord sees it; ``pid`` is 0 while it does not run."""

    name: str
    state: str
    pid: int


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - as the base class
        connection = _UnixConnection(self._path)
        self._connection = host, connection  # where the base class looks for what it has to close
        return connection


class Supervisor:
    """The supervisord of one directory, whether it runs or not; any process may make one of these and call it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.logs = self.directory / "logs"
        self._programs = self.directory / "programs"
        self._config = self.directory / "supervisord.conf"
        self.socket = self.directory / "supervisor.sock"
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET_PATH:
            digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
            self.socket = Path(tempfile.gettempdir()) / f"rowdock-{os.getuid()}-{digest}" / "supervisor.sock"

    def launch(self, programs: Sequence[Program]) -> None:
        """Start supervisord as a daemon that knows ``programs``; none of them is started yet.

        Raises:
            LocalStackError: it refused its configuration or does not answer.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self._prepare_socket_directory()
        # Left over from another scale: programs that this start does not know must not be known to it.
        shutil.rmtree(self._programs, ignore_errors=True)
        self._programs.mkdir(mode=0o700)
        for program in programs:
            self._write(program)
        self._config.write_text(_SUPERVISORD.format(socket=_escaped(self.socket)))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        started = subprocess.run(
            command,
            cwd=self.directory,
            env={**os.environ, MARKER: str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode:
            raise LocalStackError("supervisord did not start", log=started.stderr or started.stdout)
        wait_until(self.is_running, "supervisord answers", seconds=10)

    def put(self, programs: Sequence[Program]) -> None:
        """Make ``programs`` known to the running supervisord; a changed one is stopped and takes its new form."""
        for program in programs:
            self._write(program)
        added, changed, _ = cast("list[list[list[str]]]", self._call("reloadConfig"))[0]
        self.stop(changed)
        for name in changed:
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def program(self, name: str) -> Program:
        """A program as it was last made known."""
        return Program(**json.loads((self._programs / f"{name}.json").read_text()))

    def start(self, names: Iterable[str]) -> None:
        """Start programs and return without waiting for them to do anything."""
        for name in names:
            with _tolerating(ALREADY_STARTED):
                self._call("startProcess", name, not WAIT)

    def stop(self, names: Iterable[str]) -> None:
        """Stop programs side by side and return when all have ended; they stay stopped."""
        waiting = set(names)

        def all_stopped() -> bool:
            states = self.processes()
            waiting.intersection_update(name for name, process in states.items() if process.state not in _ENDED)
            for name in waiting:
                # One that died an instant ago is restarted before it can be stopped: hence again and again.
                if states[name].state in _STOPPABLE:
                    with _tolerating(NOT_RUNNING):
                        self._call("stopProcess", name, not WAIT)
            return not waiting

        wait_until(all_stopped, f"{', '.join(sorted(waiting))} stopped", seconds=45)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a program, as a crash would; supervisord starts it again if it dies of it."""
        pid = self.processes()[name].pid
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def processes(self) -> dict[str, ProcessState]:
        """All known programs by name.

        Raises:
            LocalStackError: supervisord does not answer.
        """
        try:
            answer = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        except (OSError, http.client.HTTPException) as error:
            raise LocalStackError(f"supervisord of {self.directory} does not answer: {error}") from error
        return {one["name"]: ProcessState(one["name"], one["statename"], one["pid"]) for one in answer}

    def is_running(self) -> bool:
        """Whether supervisord answers."""
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def log_tail(self, name: str, lines: int = 25) -> str:
        """The last lines that a program printed."""
        file = self.logs / f"{name}.log"
        if not file.exists():
            return ""
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 64_000))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def watch(self, names: Iterable[str]) -> "StartWatch":
        """Notice programs that die over and over while one waits for them."""
        return StartWatch(self, tuple(names))

    def shut_down(self) -> bool:
        """Stop every program, highest priority first, then supervisord, then whatever an earlier one left behind.

        Only processes that carry the mark of this directory are touched.

        Returns:
            Whether anything ran.
        """
        running = bool(self.leftovers())
        if self.is_running():
            with suppress(LocalStackError, OSError, http.client.HTTPException, xmlrpc.client.Error):
                priorities = {name: self.program(name).priority for name in self.processes()}
                for priority in sorted(set(priorities.values()), reverse=True):
                    self.stop(name for name, own in priorities.items() if own == priority)
                self._call("shutdown")
                wait_until(lambda: not self.leftovers(), "supervisord ended", seconds=10)
        for terminate in (psutil.Process.terminate, psutil.Process.kill):
            leftovers = self.leftovers()
            for process in leftovers:
                with suppress(psutil.NoSuchProcess):
                    terminate(process)
            psutil.wait_procs(leftovers, timeout=5)
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.directory and self.socket.parent.exists():
            self.socket.parent.rmdir()
        return running

    def leftovers(self) -> list[psutil.Process]:
        """Living processes of this directory: its supervisord, its programs, their children and orphans of them."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARKER) == str(self.directory) and process.pid != os.getpid():
                    found.append(process)
        return found

    def _call(self, method: str, *arguments: str | bool) -> Any:  # noqa: ANN401 - whatever supervisord answers
        transport = _UnixTransport(self.socket)
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _prepare_socket_directory(self) -> None:
        parent = self.socket.parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if parent.stat().st_uid != os.getuid():
            raise LocalStackError(f"{parent} belongs to somebody else: set ROWDOCK_LOCAL_DIR to a shorter path.")

    def _write(self, program: Program) -> None:
        text = _PROGRAM.format(
            name=program.name,
            command=_escaped(shlex.join(program.command)),
            directory=_escaped(program.directory),
            priority=program.priority,
            environment=",".join(_pair(key, value) for key, value in program.environment.items()),
            stop_seconds=program.stop_seconds,
        )
        for suffix, content in ((".ini", text), (".json", json.dumps(asdict(program)))):
            file = self._programs / f"{program.name}{suffix}"
            file.touch(mode=0o600)
            file.write_text(content)


class StartWatch:
    """Raises when a watched program died several times since the watch began."""

    def __init__(self, supervisor: Supervisor, names: tuple[str, ...]) -> None:
        self._supervisor = supervisor
        self._pids: dict[str, set[int]] = {name: set() for name in names}

    def check(self) -> None:
        """Look at the programs once.

        Raises:
            LocalStackError: one of them cannot be started or keeps dying; with the end of its log.
        """
        states = self._supervisor.processes()
        for name, pids in self._pids.items():
            pids.add(states[name].pid)
            pids.discard(0)
            if len(pids) > DEATHS_WHILE_STARTING or states[name].state in {"FATAL", "UNKNOWN"}:
                raise LocalStackError(f"{name} does not stay alive", log=self._supervisor.log_tail(name))


_ENDED = frozenset({"STOPPED", "FATAL", "UNKNOWN"})
_STOPPABLE = frozenset({"RUNNING", "STARTING", "BACKOFF"})

# supervisord runs in the directory of the stack, and these paths are relative to that.
_SUPERVISORD = """\
[supervisord]
identifier = rowdock
logfile = logs/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = supervisord.pid
childlogdir = logs
nocleanup = true

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = programs/*.ini
"""

# startsecs = 0: whatever dies is started again within a second, without end; a longer time would make a program that
# a test kills quickly count as one that cannot start, and given up.
_PROGRAM = """\
[program:{name}]
command = {command}
directory = {directory}
priority = {priority}
environment = {environment}
autostart = false
autorestart = true
startsecs = 0
stopwaitsecs = {stop_seconds}
stopasgroup = true
killasgroup = true
redirect_stderr = true
stdout_logfile = logs/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""


def _escaped(value: str | Path) -> str:
    """Keep supervisord from expanding ``%(…)s`` in a value."""
    return str(value).replace("%", "%%")


def _pair(key: str, value: str) -> str:
    """``KEY="value"`` as supervisor's parser reads it, which knows no escapes but ``%%``."""
    quote = "'" if '"' in value else '"'
    if quote in value or "\n" in value or " ;" in value or value != value.strip("'\""):
        raise LocalStackError(
            f"The value of {key} cannot be passed on: it mixes quotes, or holds a line break or ' ;'."
        )
    return f"{key}={quote}{_escaped(value)}{quote}"


class _tolerating:  # noqa: N801 - reads as `suppress` does
    """Ignore one fault of supervisord; every other one goes on."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, xmlrpc.client.Fault) and error.faultCode == self._code
