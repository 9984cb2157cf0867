"""The whole of Rowdock on one machine: servers, provisioning, services, and the file that says where everything is."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.fernet import Fernet

from deploy.local.ports import choose_ports
from deploy.local.progress import Progress
from deploy.local.servers import SERVICE_PRIORITY, Servers, start_servers
from deploy.local.supervision import CHECKOUT, Program, Supervisor
from deploy.local.waiting import LocalStackError, wait_until

SERVICES = {
    "gateway": "services.gateway",
    "parser": "services.parser",
    "validator": "services.validator",
    "writer": "services.writer",
    "webhooks": "services.webhooks",
    "requests": "services.gateway.requests",
}
"""The module of each service's process."""
OPTIONAL_SERVICES = {"sources": "services.gateway.sources"}
"""Modules of services that are started where they are scaled: ``SCALE="sources=1"``."""
READY_SECONDS = 120
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Commands:
    """What ``up`` runs; tests put their own programs here.

    Attributes:
        services: command of each service, in the order of their start.
        optional: likewise, of those that are started only where ``scale`` names them.
        provision: one-shot that makes topics and indexes.
        bootstrap: one-shot that makes an organization and prints a JSON line with ``api_key``.
    """

    services: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {name: (sys.executable, "-m", module) for name, module in SERVICES.items()}
    )
    optional: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {name: (sys.executable, "-m", module) for name, module in OPTIONAL_SERVICES.items()}
    )
    provision: Sequence[str] = (sys.executable, "-m", "deploy.provision", "--finish")
    bootstrap: Sequence[str] = (sys.executable, "-m", "services.gateway.bootstrap", "--organization", "local")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One running instance of a service; supervisord gives it another pid when it died.

    Attributes:
        url: where its health and metrics are.
    """

    name: str
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack, as ``stack.json`` describes it.

    Attributes:
        directory: where it lives; not part of ``stack.json``.
        gateway: where clients are served.
        services: instances of each service by the service's name.
    """

    directory: Path
    gateway: str
    api_key: str
    kafka: str
    mongodb: str
    database: str
    target_database: str
    broker: str
    services: Mapping[str, Sequence[Endpoint]]

    @property
    def servers(self) -> Servers:
        """The servers of this stack."""
        return Servers(self.directory, self.kafka, self.mongodb, self.broker)

    @property
    def supervisor(self) -> Supervisor:
        """Starts, stops and kills single processes: ``mongod``, ``broker``, ``writer-1``, …"""
        return Supervisor(self.directory)

    @classmethod
    def load(cls, directory: Path | None = None) -> "Stack":
        """Read the ``stack.json`` of a running stack.

        Raises:
            LocalStackError: there is none.
        """
        directory = directory or local_directory()
        file = directory / "stack.json"
        if not file.exists():
            raise LocalStackError(f"No stack runs in {directory}: start one with `make up`.")
        document: dict[str, Any] = json.loads(file.read_text())
        services = {name: [Endpoint(**one) for one in some] for name, some in document.pop("services").items()}
        return cls(directory=directory, services=services, **document)

    def save(self) -> None:
        """Write ``stack.json``, readable by its owner only because it holds the key."""
        document = asdict(self)
        del document["directory"]
        _write_private(self.directory / "stack.json", json.dumps(document, indent=2) + "\n")

    def wait_ready(self, names: Sequence[str] = (), seconds: float = READY_SECONDS) -> None:
        """Wait until the instances called ``names``, by default all, answer 200 at ``/health/ready``.

        Raises:
            LocalStackError: one does not, or dies again and again; with the end of its log.
        """
        waiting = {one.name: one.url for some in self.services.values() for one in some}
        if names:
            waiting = {name: waiting[name] for name in names}
        watch = self.supervisor.watch(tuple(waiting))

        def all_ready() -> bool:
            watch.check()
            for name, url in tuple(waiting.items()):
                if not _is_ready(url):
                    return False
                del waiting[name]
            return True

        try:
            wait_until(all_ready, "all services ready", seconds=seconds)
        except LocalStackError as error:
            name = next(iter(waiting), "")
            log = error.log or self.supervisor.log_tail(name)
            raise LocalStackError(f"{error} (waiting for {', '.join(waiting)})", log=log) from error


def local_directory() -> Path:
    """Where the stack lives: ``ROWDOCK_LOCAL_DIR``, or ``.local`` in the checkout."""
    return Path(os.environ.get("ROWDOCK_LOCAL_DIR") or CHECKOUT / ".local").resolve()


def parse_scale(text: str) -> dict[str, int]:
    """Read ``"validator=2 writer=2"``.

    Raises:
        LocalStackError: it is not of that form.
    """
    scale: dict[str, int] = {}
    for part in text.replace(",", " ").split():
        service, _, count = part.partition("=")
        if not count.isdecimal() or int(count) < 1:
            raise LocalStackError(f'SCALE="{text}" is not understood: write it like "validator=2 writer=2".')
        scale[service] = int(count)
    return scale


def up(
    directory: Path | None = None,
    *,
    broker: str | None = None,
    scale: Mapping[str, int] | None = None,
    environment: Mapping[str, Mapping[str, str]] | None = None,
    commands: Commands | None = None,
    progress: Progress | None = None,
) -> Stack:
    """Start everything and return when every service is ready; stop first what ran in ``directory``.

    Blocks; call it outside of an event loop. The services inherit the caller's environment,
    ``FAILPOINT`` and ``ROWDOCK_*`` included.

    Args:
        directory: by default ``local_directory()``.
        broker: ``kafka`` or ``tansu``; by default what ``BROKER`` says, else ``kafka``.
        scale: number of instances of a service; one where not named.
        environment: extra variables by service (``writer``) or by instance (``writer-2``).
        commands: by default Rowdock's own.
        progress: where the steps are shown; nowhere by default.

    Raises:
        LocalStackError: something does not start; nothing is left running then.
    """
    directory = (directory or local_directory()).resolve()
    commands = commands or Commands()
    progress = progress or Progress.silent()
    instances = _instances(commands, scale or {})
    (directory / "stack.json").unlink(missing_ok=True)
    servers = start_servers(directory, broker, progress)
    supervisor = servers.supervisor
    defaults = {
        "ROWDOCK_DATABASE": "rowdock",
        "ROWDOCK_TARGET_DATABASE": "rowdock_data",
        "ROWDOCK_SECRET_KEY": _secret_key(directory),
        # Receivers and servers on this machine are welcome here; elsewhere private addresses are refused.
        "ROWDOCK_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "ROWDOCK_SOURCE_ALLOWED_NETWORKS": "127.0.0.0/8",
        "ROWDOCK_SOURCES_DIRECTORY": str(directory / "sources"),
        # What is tried, measured and tested here asks far more often than the plans let a key.
        "ROWDOCK_RATE_LIMITS": "free=0/0,starter=0/0",
        "ROWDOCK_STRANGERS_PER_MINUTE": "0",
        # Several services share the processors: each with a thread pool of its own only makes them wait.
        "POLARS_MAX_THREADS": "1",
    }
    chosen = {name: os.environ.get(name, default) for name, default in defaults.items()}
    shared = {**chosen, **servers.environment()}
    try:
        with progress.step("Provisioning topics and indexes"):
            _run(commands.provision, shared, directory)
        names = [name for names in instances.values() for name in names]
        ports = choose_ports(directory / "ports.json", [*map(_ops, names), *instances.get("gateway", [])])
        extra = environment or {}
        programs = [
            _service(
                name,
                {**commands.services, **commands.optional}[service],
                ports,
                {**shared, **extra.get(service, {}), **extra.get(name, {})},
            )
            for service, names in instances.items()
            for name in names
        ]
        with progress.step(f"Starting {', '.join(_counted(service, names) for service, names in instances.items())}"):
            supervisor.put(programs)
            supervisor.start(program.name for program in programs)
            pids = {name: process.pid for name, process in supervisor.processes().items()}
            services = {
                service: [Endpoint(name, f"http://127.0.0.1:{ports[_ops(name)]}", pids[name]) for name in names]
                for service, names in instances.items()
            }
            stack = Stack(
                directory=directory,
                gateway=f"http://127.0.0.1:{ports[instances['gateway'][0]]}",
                api_key="",
                kafka=servers.kafka,
                mongodb=servers.mongodb,
                database=shared["ROWDOCK_DATABASE"],
                target_database=shared["ROWDOCK_TARGET_DATABASE"],
                broker=servers.broker,
                services=services,
            )
            stack.wait_ready()
        with progress.step("Checking the API key") as step:
            stack = _with_api_key(stack, commands, shared)
            step.result = stack.gateway
        stack.save()
    except BaseException:
        supervisor.shut_down()
        raise
    return stack


def down(directory: Path | None = None, progress: Progress | None = None) -> bool:
    """Stop services, then the broker, then mongod, and remove ``stack.json``; the data stays.

    Returns:
        Whether anything ran.
    """
    directory = (directory or local_directory()).resolve()
    with (progress or Progress.silent()).step("Stopping services, broker, MongoDB") as step:
        ran = Supervisor(directory).shut_down()
        (directory / "stack.json").unlink(missing_ok=True)
        step.result = "" if ran else "nothing ran"
    return ran


@contextmanager
def running(directory: Path | None = None, **options: Any) -> Iterator[Stack]:  # noqa: ANN401 - those of `up`
    """``up`` for the length of a block, then ``down``."""
    stack = up(directory, **options)
    try:
        yield stack
    finally:
        down(stack.directory, options.get("progress"))


def restart(stack: Stack, name: str, environment: Mapping[str, str]) -> None:
    """Restart one instance on its port with ``environment`` changed, and wait until it is ready.

    An empty value unsets what an earlier start had set.
    """
    supervisor = stack.supervisor
    program = supervisor.program(name)
    changed = {**program.environment, **environment}
    supervisor.put([replace(program, environment=changed)])
    supervisor.start([name])
    stack.wait_ready([name])


def make_organization(stack: Stack, name: str, parent_id: str | None = None, plan: str = "free") -> str:
    """Make one more organization, by the program that makes the first; its API key.

    Args:
        stack: the running stack.
        name: of the organization.
        parent_id: the organization that it is below.
        plan: what it may have.

    Raises:
        LocalStackError: the program failed.
    """
    databases = {"ROWDOCK_DATABASE": stack.database, "ROWDOCK_TARGET_DATABASE": stack.target_database}
    below = () if parent_id is None else ("--parent", parent_id)
    command = (sys.executable, "-m", "services.gateway.bootstrap", "--organization", name, "--plan", plan, *below)
    printed = _run(command, {**stack.servers.environment(), **databases}, stack.directory)
    return str(json.loads(printed.strip().splitlines()[-1])["api_key"])


def _instances(commands: Commands, scale: Mapping[str, int]) -> dict[str, list[str]]:
    known = (*commands.services, *commands.optional)
    unknown = set(scale) - set(known)
    if unknown:
        raise LocalStackError(f"SCALE names {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    counts = {**dict.fromkeys(commands.services, 1), **scale}
    return {
        service: [f"{service}-{number}" for number in range(1, counts[service] + 1)]
        for service in known
        if service in counts
    }


def _counted(service: str, names: Sequence[str]) -> str:
    return service if len(names) == 1 else f"{len(names)} {service.removesuffix('s')}s"


def _ops(name: str) -> str:
    """How the port for an instance's health and metrics is remembered."""
    return f"{name}-ops"


def _service(name: str, command: Sequence[str], ports: Mapping[str, int], environment: Mapping[str, str]) -> Program:
    own = {"ROWDOCK_HOST": "127.0.0.1", "ROWDOCK_OPS_PORT": str(ports[_ops(name)]), "ROWDOCK_INSTANCE": name}
    if name in ports:
        own["ROWDOCK_PORT"] = str(ports[name])
    return Program(name, command, SERVICE_PRIORITY, environment={**environment, **own})


def _with_api_key(stack: Stack, commands: Commands, environment: Mapping[str, str]) -> Stack:
    """Take the key of the last start if the gateway still knows it, else make a new one."""
    file = stack.directory / "api_key"
    key = file.read_text().strip() if file.exists() else ""
    if not key or _status(f"{stack.gateway}/imports/runs", key) == UNAUTHORIZED:
        printed = _run(commands.bootstrap, environment, stack.directory)
        try:
            key = str(json.loads(printed.strip().splitlines()[-1])["api_key"])
        except (IndexError, KeyError, ValueError) as error:
            raise LocalStackError(
                "The bootstrap command did not print a JSON line with api_key", log=printed
            ) from error
        _write_private(file, key + "\n")
    return replace(stack, api_key=key)


def _status(url: str, key: str) -> int:
    return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False).status_code


def _is_ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health/ready", timeout=2, trust_env=False).is_success
    return False


def _secret_key(directory: Path) -> str:
    file = directory / "secret_key"
    if not file.exists():
        _write_private(file, Fernet.generate_key().decode() + "\n")
    return file.read_text().strip()


def _write_private(file: Path, text: str) -> None:
    """Replace a file at once; nobody but its owner may ever read it."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)


def _run(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> str:
    """Run a one-shot command and return what it printed.

    Raises:
        LocalStackError: it failed, with the end of its output.
    """
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **environment, "ROWDOCK_LOCAL_DIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        log = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise LocalStackError(f"`{' '.join(command)}` failed with code {done.returncode}", log=log)
    return done.stdout
