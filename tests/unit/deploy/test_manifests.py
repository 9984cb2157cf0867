"""Manifests name nothing that there is not, set everything that is required, and allow no more than they must."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import kafka_rights
from deploy.certificates import make
from deploy.configuration import COMMON, OF_SERVICES, variables_of
from deploy.kafka_rights import user_of
from deploy.local.stack import OPTIONAL_SERVICES, SERVICES
from deploy.mongodb_roles import LOGS_IN_AS, PROVISION, role_of
from deploy.mongodb_roles import SERVICES as USERS
from libs.contracts import services
from libs.contracts.topics import TOPICS
from tests.unit.lint.test_source_rules import CHECKOUT

KUBERNETES = CHECKOUT / "deploy" / "kubernetes"
BASE = KUBERNETES / "base"
OVERLAYS = tuple(sorted(each.parent for each in KUBERNETES.glob("overlays/*/kustomization.yaml")))
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
OF_IMAGE = set(re.findall(r"\b(ROWDOCK_[A-Z_]+)=", DOCKERFILE))
"""Variables that the image sets."""
SERVERS = {"mongodb", "kafka", "prometheus", "grafana"}


def documents(folder: Path) -> list[dict[str, Any]]:
    """Every object of a folder, its kustomization aside."""
    files = [file for file in sorted(folder.glob("*.yaml")) if file.name != "kustomization.yaml"]
    return [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def of_kind(kind: str, folder: Path = BASE) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents(folder) if each["kind"] == kind}


def pod(workload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The specification of its pods, and its one container."""
    specification = workload["spec"]["template"]["spec"]
    [container] = specification["containers"]
    return specification, container


def composed() -> Iterator[tuple[str, dict[str, Any]]]:
    """The services of the composition that run Rowdock's image."""
    yield from ((name, each) for name, each in COMPOSE["services"].items() if name not in SERVERS)


def assert_settings(service: str, named: dict[str, Any], others: frozenset[str] = frozenset()) -> None:
    """Of a service's variables only such that it reads, and all that have no default."""
    known = variables_of(service)
    assert {name for name in named if name.startswith(("ROWDOCK_", "FILE_"))} - others <= known.keys()
    required = {name for name, setting in known.items() if setting.default is None}
    assert required <= named.keys() | OF_IMAGE


def assert_own_user_of_kafka(service: str, environment: dict[str, Any]) -> None:
    """Of the composition: nobody else logs in so, and the broker lets it in."""
    password = f"${{ROWDOCK_KAFKA_PASSWORD_{service.upper()}"
    assert environment["ROWDOCK_KAFKA_USERNAME"] == user_of(service)
    assert environment["ROWDOCK_KAFKA_PASSWORD"] == f"{password}}}"
    broker = COMPOSE["services"]["kafka"]["environment"]
    assert f'user_{user_of(service)}="{password}:?' in broker["KAFKA_LISTENER_NAME_CLIENTS_PLAIN_SASL_JAAS_CONFIG"]


def size_of(limits: dict[str, str]) -> int:
    """What may be written to disk, in MiB."""
    [text] = [value for name, value in limits.items() if name in {"sizeLimit", "ephemeral-storage"}]
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def test_settings_are_there_before_the_provision_and_that_before_all_else() -> None:
    """Of Argo CD: a hook of its own phase would come before the settings that it reads."""
    waves = {
        (each["kind"], each["metadata"]["name"]): int(
            each["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0")
        )
        for each in documents(BASE)
    }
    provision = of_kind("Job")["provision"]
    assert provision["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Sync"
    before = {kind for (kind, _), wave in waves.items() if wave < waves["Job", "provision"]}
    after = {kind for (kind, _), wave in waves.items() if wave > waves["Job", "provision"]}
    assert before == {"Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy"}
    assert after == {"Deployment", "Service", "PodDisruptionBudget"}


def test_the_local_stack_runs_the_services_that_there_are() -> None:
    assert tuple(SERVICES) == services.SERVICES
    assert tuple(OPTIONAL_SERVICES) == services.OPTIONAL_SERVICES


# --- docker-compose.yml ---------------------------------------------------------------------------


def test_the_composition_runs_what_the_local_stack_runs() -> None:
    started = {" ".join(each["command"]).removeprefix("python -m services."): name for name, each in composed()
               if " ".join(each["command"]).startswith("python -m services.")}  # fmt: skip
    del started["gateway.bootstrap --organization default"]
    modules = {**SERVICES, **OPTIONAL_SERVICES}
    assert started == {module.removeprefix("services."): name for name, module in modules.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_services_of_the_composition_are_told_what_they_read(service: str, tmp_path: Path) -> None:
    environment = COMPOSE["services"][service]["environment"]
    assert_settings(service, environment)
    user = LOGS_IN_AS.get(service, service)
    assert f"mongodb://{role_of(user)}:${{ROWDOCK_PASSWORD_{user.upper()}}}@" in environment["ROWDOCK_MONGODB"]
    assert_own_user_of_kafka(service, environment)
    make(tmp_path, ["kafka"])
    authority = tmp_path / "authority.pem"
    values = {name: str(value) for name, value in environment.items()}
    values |= {"ROWDOCK_KAFKA_CA_FILE": str(authority), "ROWDOCK_LOG_LEVEL": "INFO", "ROWDOCK_INSTANCE": "one"}
    values |= {"ROWDOCK_OPS_PORT": "9464", "ROWDOCK_SECRET_KEY": "A" * 43 + "=", "ROWDOCK_WEBHOOK_ALLOWED_NETWORKS": ""}
    values |= {name: "" for name, value in values.items() if value.endswith(":-}")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        for model in (*COMMON, *OF_SERVICES[service]):
            model()


def test_one_shots_of_the_composition_are_told_what_they_read() -> None:
    users = COMPOSE["services"]["users"]["environment"]
    assert {name for name in users if "PASSWORD" in name} == {
        f"ROWDOCK_PASSWORD_{name.upper()}" for name in (*USERS, PROVISION)
    }
    provision = COMPOSE["services"]["provision"]["environment"]
    assert provision.keys() <= variables_of("gateway").keys()
    assert_own_user_of_kafka(kafka_rights.PROVISION, provision)
    assert_own_user_of_kafka("sources", COMPOSE["services"]["sources"]["environment"])
    assert COMPOSE["services"]["provision"]["command"] == ["python", "-m", "deploy.provision", "--acls"]
    assert f"{role_of(PROVISION)}:" in provision["ROWDOCK_MONGODB"]


def test_processes_of_the_composition_may_do_no_more_than_they_must() -> None:
    for name, each in COMPOSE["services"].items():
        assert each["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in each["security_opt"], name
        assert each["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert each["healthcheck"], name
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", [])), name
        assert each.get("read_only") is True or name in {"mongodb", "kafka"}, name
        assert each.get("user") is None or name == "certificates", name
        assert each["logging"]["options"]["max-size"], name
    assert "USER 10001" in DOCKERFILE


def test_prometheus_of_the_composition_scrapes_every_service() -> None:
    told = yaml.safe_load((CHECKOUT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = [each for each in told["scrape_configs"] if each["job_name"] == "rowdock"]
    [found] = job["dns_sd_configs"]
    assert set(found["names"]) == {*services.SERVICES, *services.OPTIONAL_SERVICES}


def test_servers_of_the_composition_let_nobody_in_who_does_not_prove_who_they_are() -> None:
    options = shlex.split(COMPOSE["services"]["mongodb"]["command"])
    assert {"--auth", "--keyFile", "--tlsMode"} <= set(options)
    assert options[options.index("--tlsMode") + 1] == "requireTLS"
    kafka = COMPOSE["services"]["kafka"]["environment"]
    open_to_others = [each for each in kafka["KAFKA_LISTENERS"].split(",") if "localhost" not in each]
    assert open_to_others == ["CLIENTS://:9092"]
    assert "CLIENTS:SASL_SSL" in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["KAFKA_AUTHORIZER_CLASS_NAME"].endswith(".StandardAuthorizer")
    # Nobody is anonymous who comes from another container.
    assert kafka["KAFKA_SUPER_USERS"].split(";") == [f"User:{user_of(kafka_rights.PROVISION)}", "User:ANONYMOUS"]


def test_every_password_is_asked_for_in_the_example_of_the_environment() -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{([A-Z_]+)", text))
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (CHECKOUT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) <= given.keys() <= asked
    assert {name for name, value in given.items() if re.search("PASSWORD|KEY", name) and value} == set()


def test_volumes_and_dependencies_of_the_composition_are_there() -> None:
    mounted = [volume.split(":")[0] for each in COMPOSE["services"].values() for volume in each.get("volumes", [])]
    assert {name for name in mounted if not name.startswith(".")} == COMPOSE["volumes"].keys()
    for each in COMPOSE["services"].values():
        assert set(each.get("depends_on", {})) <= COMPOSE["services"].keys()


def mounted(service: str, path: str) -> Path:
    """The file or folder of the checkout that a server of the composition finds at ``path``."""
    places = [volume.split(":")[:2] for volume in COMPOSE["services"][service]["volumes"] if volume.startswith("./")]
    [(source, target)] = [(source, target) for source, target in places if Path(path).is_relative_to(target)]
    return CHECKOUT / source / Path(path).relative_to(target)


def test_servers_of_the_composition_find_what_they_are_told_to_read() -> None:
    [option] = [each for each in COMPOSE["services"]["prometheus"]["command"] if each.startswith("--config.file=")]
    told = yaml.safe_load(mounted("prometheus", option.partition("=")[2]).read_text(encoding="utf-8"))
    for pattern in told["rule_files"]:
        assert list(mounted("prometheus", str(Path(pattern).parent)).glob(Path(pattern).name)), pattern
    provisioning = mounted("grafana", "/etc/grafana/provisioning")
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "${PROMETHEUS_URL}"
    assert COMPOSE["services"]["grafana"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "rowdock.yml").read_text())["providers"]
    assert list(mounted("grafana", provider["options"]["path"]).glob("*.json"))


def needed_by(programs: set[str]) -> set[str]:
    """Modules and packages of ``deploy`` that these import, directly or not, and they themselves."""
    needed, waiting = set[str](), list(programs)
    while waiting:
        if (module := waiting.pop()) not in needed:
            needed.add(module)
            place = CHECKOUT / "deploy" / module
            files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
            waiting += re.findall(r"^from deploy\.(\w+)", "".join(map(Path.read_text, files)), re.MULTILINE)
    return needed


def test_the_image_has_every_program_that_manifests_start() -> None:
    copied = set(re.findall(r"deploy/(\w+)", DOCKERFILE))
    ignored = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8")
    commands = " ".join(str(each["command"]) for _, each in composed())
    programs = set(re.findall(r"deploy\.(\w+)", commands)) | {"provision"}
    for module in needed_by(programs):
        assert module in copied, module
        assert re.search(rf"^!deploy/{module}(\.py)?$", ignored, re.MULTILINE), module


# --- Kubernetes ------------------------------------------------------------------------------------


def test_kubernetes_runs_what_the_local_stack_runs() -> None:
    assert {name: pod(each)[1]["args"] for name, each in of_kind("Deployment").items()} == {
        name: ["python", "-m", module] for name, module in SERVICES.items()
    }
    assert pod(of_kind("Job")["provision"])[1]["args"] == ["python", "-m", "deploy.provision", "--acls"]


@pytest.mark.parametrize("service", SERVICES)
def test_pods_are_told_what_they_read(service: str) -> None:
    settings = of_kind("ConfigMap")["rowdock-settings"]["data"]
    _, container = pod(of_kind("Deployment")[service])
    own = {each["name"]: each.get("valueFrom", {}) for each in container["env"]}
    assert_settings(service, {**settings, **own})
    assert own["ROWDOCK_MONGODB"]["secretKeyRef"] == {
        "name": "rowdock-mongodb",
        "key": LOGS_IN_AS.get(service, service),
    }
    assert {"name": "ROWDOCK_KAFKA_USERNAME", "value": user_of(service)} in container["env"]
    assert own["ROWDOCK_KAFKA_PASSWORD"]["secretKeyRef"] == {"name": "rowdock-kafka", "key": service}
    secrets = {name for name, setting in variables_of(service).items() if "secret" in setting.kind}
    assert all("secretKeyRef" in own[name] for name in secrets & own.keys())
    assert not secrets & settings.keys()


def test_pods_may_do_no_more_than_they_must_and_are_looked_after() -> None:
    for name, workload in {**of_kind("Deployment"), **of_kind("Job")}.items():
        specification, container = pod(workload)
        assert specification["automountServiceAccountToken"] is False, name
        assert specification["securityContext"]["runAsNonRoot"] is True, name
        assert specification["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        # No limit of processors: it makes whoever has work wait while processors are idle.
        assert container["resources"]["limits"].keys() == {"memory", "ephemeral-storage"}, name
        assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}, name
        [temporary] = [each["emptyDir"] for each in specification["volumes"] if "emptyDir" in each]
        assert size_of(temporary) < size_of(container["resources"]["limits"]), name
    for name, workload in of_kind("Deployment").items():
        specification, container = pod(workload)
        assert specification["terminationGracePeriodSeconds"] > 60, name
        paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
        assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}, name
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"] == labels, name
        assert of_kind("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"] == labels, name


def test_pods_reach_and_are_reached_by_whom_they_must() -> None:
    policies = of_kind("NetworkPolicy")
    everything = {"app.kubernetes.io/name": "rowdock"}
    denied = policies["deny-by-default"]["spec"]
    assert (denied["podSelector"]["matchLabels"], denied["policyTypes"]) == (everything, ["Ingress", "Egress"])
    assert "ingress" not in denied
    assert "egress" not in denied
    ports = {port["port"] for rule in policies["servers"]["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 9092, 27017}
    [receivers] = policies["receivers"]["spec"]["egress"]
    assert "10.0.0.0/8" in receivers["to"][0]["ipBlock"]["except"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda each: each.name)
def test_overlays_change_what_there_is(overlay: Path) -> None:
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text(encoding="utf-8"))
    assert all((overlay / each).exists() for each in kustomization["resources"])
    names = [(each["kind"], each["metadata"]["name"]) for each in documents(BASE)]
    for patch in kustomization["patches"]:
        wanted = patch["target"]
        hit = [name for kind, name in names if kind == wanted["kind"] and re.fullmatch(wanted["name"], name)]
        assert hit, wanted
        for step in yaml.safe_load(patch["patch"]):
            assert step["op"] in {"replace", "remove"}
            for name in hit:
                target: Any = of_kind(wanted["kind"])[name]
                for part in step["path"].strip("/").split("/"):
                    target = target[part]
    assert {each["name"] for each in kustomization["replicas"]} <= of_kind("Deployment").keys()


def test_the_kustomization_has_every_file() -> None:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(kustomization["resources"]) == {file.name for file in BASE.glob("*.yaml")} - {"kustomization.yaml"}


def test_workers_are_scaled_by_groups_and_topics_that_there_are() -> None:
    topics = {topic.name: topic.partitions for topic in TOPICS}
    scaled = of_kind("ScaledObject", KUBERNETES / "overlays" / "production")
    assert scaled.keys() == {"parser", "validator", "writer"}
    for name, each in scaled.items():
        assert each["spec"]["scaleTargetRef"] == {"name": name}
        for trigger in each["spec"]["triggers"]:
            told = trigger["metadata"]
            assert told["consumerGroup"] == services.group_of(name, told["topic"])
            assert each["spec"]["maxReplicaCount"] <= topics[told["topic"]]
