"""Every overlay builds, and its pods are restricted, bounded, probed, reachable and set as they must be."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.platform import Home
from tests.architecture.tree import ROOT, SERVICES
from tests.deploy.surroundings import PORTS, field_of, settings_from

OVERLAYS = ("dev", "staging", "prod")
SECRETS = "/etc/regulars/secrets"

# What somebody has to put into the namespace first: deploy/k8s/README.md says how.
SECRET_KEYS = {
    "regulars-signing": {"signing_keys": "a-signing-key-of-more-than-32-characters"},
    **{name: {"database_url": f"postgresql://{name}:p@postgres.data.svc:5432/{name}"} for name in SERVICES},
}
SECRET_KEYS["messaging"] |= {"smtp_username": "account", "smtp_password": "password"}

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed, so no overlay can be built"
)

Thing = dict[str, Any]


@cache
def built(overlay: str) -> tuple[Thing, ...]:
    """The objects that `kubectl apply -k` would send."""
    folder = ROOT / "deploy/k8s/overlays" / overlay
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr
    # The parser in C, where PyYAML has it, reads a hundred objects in a tenth of the time.
    return tuple(yaml.load_all(done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def of_kind(overlay: str, kind: str) -> dict[str, Thing]:
    return {thing["metadata"]["name"]: thing for thing in built(overlay) if thing["kind"] == kind}


def templates(overlay: str) -> Iterator[tuple[str, Thing]]:
    """(name, pod template) of every Deployment and Job."""
    for kind in ("Deployment", "Job"):
        for name, thing in of_kind(overlay, kind).items():
            yield name, thing["spec"]["template"]


def container(template: Thing) -> Thing:
    (only,) = template["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def deployments(overlay: str) -> Iterator[tuple[str, str, Thing]]:
    """(service, role, Deployment) of all that run for ever."""
    found = of_kind(overlay, "Deployment")
    assert set(found) == {f"{service}-{role}" for service in SERVICES for role in ("api", "worker")}
    for name, deployment in found.items():
        service, role = name.split("-")
        yield service, role, deployment


def selected_by(labels: Thing, template: Thing) -> bool:
    return set(labels.items()) <= set(template["metadata"]["labels"].items())


def process_environment(overlay: str, template: Thing) -> dict[str, str]:
    """What the container's process would find in its environment."""
    maps = of_kind(overlay, "ConfigMap")
    values: dict[str, str] = {}
    for source in container(template).get("envFrom", ()):
        values |= maps[source["configMapRef"]["name"]]["data"]
    for each in container(template).get("env", ()):
        if "value" in each:
            values[each["name"]] = each["value"]
        else:
            reference = each["valueFrom"]["secretKeyRef"]
            values[each["name"]] = SECRET_KEYS[reference["name"]][reference["key"]]
    return values


def mount_secrets(template: Thing, folder: Path) -> None:
    """Write what the secrets volume would show."""
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    for source in volumes["secrets"]["projected"]["sources"]:
        for key, value in SECRET_KEYS[source["secret"]["name"]].items():
            (folder / key).write_text(value + "\n", encoding="utf-8")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_meet_the_restricted_standard_and_more(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in templates(overlay):
        pod, only = template["spec"], container(template)
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod), name
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"projected", "emptyDir"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_the_overlay_s_namespace(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace")
    others = [thing for thing in built(overlay) if thing["kind"] != "Namespace"]
    assert {thing["metadata"]["namespace"] for thing in others} == {namespace}


def test_overlays_do_not_share_a_namespace() -> None:
    assert len({name for overlay in OVERLAYS for name in of_kind(overlay, "Namespace")}) == len(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_five_services_are_alike_but_for_name_and_environment(overlay: str) -> None:
    def anonymous(service: str, role: str) -> str:
        deployment = of_kind(overlay, "Deployment")[f"{service}-{role}"]
        text = yaml.safe_dump(deployment | {"spec": {**deployment["spec"]}})
        text = text.replace(f"containerPort: {PORTS[service]}", "containerPort: 8000")
        return text.replace(service, "SERVICE").replace(service.upper(), "SERVICE")

    for role in ("api", "worker"):
        shapes = {anonymous(service, role) for service in SERVICES if service != "messaging"}
        assert len(shapes) == 1
        # Messaging has an account at the mail relay beside.
        own = set(anonymous("messaging", role).splitlines()) - set(shapes.pop().splitlines())
        assert all("SMTP" in line or "smtp" in line for line in own)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_ports_and_images_are_those_of_the_service(overlay: str) -> None:
    images = set()
    for service, role, deployment in deployments(overlay):
        only = container(deployment["spec"]["template"])
        assert only["command"] == ["python", "-m", f"services.{service}"]
        assert only["args"] == ["--role", role]
        assert [(port["name"], port["containerPort"]) for port in only["ports"]] == [("http", PORTS[service])]
        images.add(only["image"])
    (job,) = of_kind(overlay, "Job").values()
    images.add(container(job["spec"]["template"])["image"])
    assert len(images) == 1
    name, _, tag = images.pop().rpartition(":")
    assert name
    assert tag != "latest"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_the_right_questions(overlay: str) -> None:
    for _, _, deployment in deployments(overlay):
        only = container(deployment["spec"]["template"])
        asked = {each: only[f"{each}Probe"]["httpGet"] for each in ("startup", "liveness", "readiness")}
        assert asked == {
            "startup": {"path": "/healthz", "port": "http"},
            "liveness": {"path": "/healthz", "port": "http"},
            "readiness": {"path": "/readyz", "port": "http"},
        }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_states_what_it_needs(overlay: str) -> None:
    for name, template in templates(overlay):
        resources = container(template)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}, name
        assert set(resources["limits"]) == {"memory"}, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting(overlay: str) -> None:
    for service, _, deployment in deployments(overlay):
        template = deployment["spec"]["template"]
        for variable in process_environment(overlay, template):
            assert field_of(variable) is not None, f"{variable} sets nothing"
        for each in container(template)["env"]:
            assert field_of(each["name"], service) is not None, f"{each['name']} sets nothing in {service}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_process_would_start_and_end_in_time(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service, _, deployment in deployments(overlay):
        template = deployment["spec"]["template"]
        mount_secrets(template, tmp_path)
        given = process_environment(overlay, template)
        there = {name: value.replace(SECRETS, str(tmp_path)) for name, value in given.items()}
        settings = settings_from(service, there, monkeypatch)
        assert settings.profile == "production"
        assert settings.host == "0.0.0.0"
        assert settings.port == PORTS[service]
        assert settings.database_url.get_secret_value() == SECRET_KEYS[service]["database_url"]
        # `regulars` in this pod knows the database of this service, and takes it for no other's.
        known = {name: url for name in SERVICES if (url := Home(tmp_path).database_url(name))}
        assert known == {service: SECRET_KEYS[service]["database_url"]}

        grace_seconds = template["spec"]["terminationGracePeriodSeconds"]
        pre_stop_seconds = container(template)["lifecycle"]["preStop"]["sleep"]["seconds"]
        # Requests drain first, then the consumer; each may take all of its time.
        needed_seconds = pre_stop_seconds + settings.readiness_pause_seconds + 2 * settings.drain_seconds
        assert needed_seconds < grace_seconds


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_files_and_none_is_written_here(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    for service, _, deployment in deployments(overlay):
        template = deployment["spec"]["template"]
        mounts = {mount["name"]: mount for mount in container(template)["volumeMounts"]}
        assert mounts["secrets"] == {"name": "secrets", "mountPath": SECRETS, "readOnly": True}
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        sources = [each["secret"]["name"] for each in volumes["secrets"]["projected"]["sources"]]
        # A service sees the password of its own database and of no other.
        assert sources == [service, "regulars-signing"]


def test_the_readme_says_how_to_make_every_secret() -> None:
    readme = (ROOT / "deploy/k8s/README.md").read_text(encoding="utf-8")
    assert "for service in members points campaigns analytics; do" in readme
    for secret in ("regulars-signing", "messaging"):
        assert f"create secret generic {secret} " in readme
        for key in SECRET_KEYS[secret]:
            assert re.search(rf"--from-(file|literal)={key}=", readme), f"{secret}: {key}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_migration_reaches_every_database(overlay: str) -> None:
    (job,) = of_kind(overlay, "Job").values()
    template = job["spec"]["template"]
    assert [*container(template)["command"], *container(template)["args"]] == [
        "python",
        "-m",
        "cli",
        "migrate",
    ]
    assert process_environment(overlay, template) == {
        f"REGULARS_{service.upper()}_DATABASE_URL": SECRET_KEYS[service]["database_url"]
        for service in SERVICES
    }
    assert job["spec"]["activeDeadlineSeconds"] > 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_their_own_pods_and_no_others(overlay: str) -> None:
    pods = dict(templates(overlay))
    for service, role, deployment in deployments(overlay):
        name = f"{service}-{role}"
        wanted = [deployment["spec"]["selector"]["matchLabels"]]
        wanted.append(of_kind(overlay, "PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"])
        wanted += [
            each["labelSelector"]["matchLabels"]
            for each in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        ]
        if role == "api":
            wanted.append(of_kind(overlay, "Service")[name]["spec"]["selector"])
        for labels in wanted:
            assert [each for each, pod in pods.items() if selected_by(labels, pod)] == [name]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_autoscalers_scale_apis_that_state_no_number(overlay: str) -> None:
    scalers = of_kind(overlay, "HorizontalPodAutoscaler")
    assert {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers.values()} == {
        f"{service}-api" for service in SERVICES
    }
    for _, role, deployment in deployments(overlay):
        assert ("replicas" in deployment["spec"]) is (role == "worker")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_lead_to_the_named_port(overlay: str) -> None:
    services = of_kind(overlay, "Service")
    assert set(services) == {f"{service}-api" for service in SERVICES}
    for service in services.values():
        assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(80, "http")]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_is_closed_but_for_what_is_named(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for service in SERVICES:
        data = policies[f"{service}-data"]["spec"]
        assert data["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": service}
        reached = {port["port"] for rule in data["egress"] for port in rule["ports"]}
        assert reached == {53, 5432, 9092}
        assert _visitors(policies[f"{service}-api"]) == {"ingress", "monitoring"}
        assert _visitors(policies[f"{service}-worker"]) == {"monitoring"}
    outside = [name for name, policy in policies.items() if "ipBlock" in yaml.safe_dump(policy)]
    assert outside == ["messaging-outside"]
    # No rule is open to everybody, which an empty list of peers would mean.
    for name, policy in policies.items():
        for rule in policy["spec"].get("egress", []):
            assert rule["to"], name
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], name


def _visitors(policy: Thing) -> set[str]:
    return {
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
    }


def test_the_readme_counts_processes_and_connections_right() -> None:
    readme = (ROOT / "deploy/k8s/README.md").read_text(encoding="utf-8")
    columns: dict[str, list[str]] = {"API processes": [], "worker processes": [], "connections": []}
    for overlay in OVERLAYS:
        scaler = of_kind(overlay, "HorizontalPodAutoscaler")["points-api"]["spec"]
        workers = of_kind(overlay, "Deployment")["points-worker"]["spec"]["replicas"]
        low, high = scaler["minReplicas"], scaler["maxReplicas"]
        (settings,) = of_kind(overlay, "ConfigMap").values()
        pool = int(settings["data"]["REGULARS_DATABASE_POOL_SIZE"])
        columns["API processes"].append(str(low) if low == high else f"{low}–{high}")
        columns["worker processes"].append(str(workers))
        columns["connections"].append(str((high + workers + 2) * pool * len(SERVICES)))
    for start, numbers in columns.items():
        (row,) = (line for line in readme.splitlines() if line.startswith(f"| {start}"))
        assert [cell.strip() for cell in row.strip("|").split("|")[1:]] == numbers
