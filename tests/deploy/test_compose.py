"""docker-compose.yml starts a production platform: nothing has a default secret, and every setting is one."""

import re
import shlex
import subprocess
from typing import Any

import pytest

from cli.embedded.kafka import KAFKA_VERSION
from tests.architecture.tree import ROOT, SERVICES
from tests.deploy.surroundings import PORTS, field_of, load, settings_from

COMPOSE: dict[str, Any] = load("docker-compose.yml")
CONTAINERS: dict[str, Any] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(:\?|:-)([^}]*)\}")

# PostgreSQL allows 100 unless told otherwise; some are for relays, listeners, migrations and you.
POSTGRES_CONNECTIONS = 100
CONNECTIONS_BESIDE_THE_POOLS = 30


@pytest.fixture(scope="module")
def dotenv() -> dict[str, str]:
    """What deploy/compose/new-env.sh prints."""
    script = ROOT / "deploy/compose/new-env.sh"
    printed = subprocess.run(["sh", str(script)], check=True, capture_output=True, text=True).stdout
    tokens = shlex.split(printed, comments=True)
    return dict(token.split("=", 1) for token in tokens)


def texts(value: Any) -> list[str]:
    """Every string within a document."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def filled(text: str, values: dict[str, str]) -> str:
    return VARIABLE.sub(lambda found: values.get(found[1], found[3]), text)


def test_every_part_is_there() -> None:
    others = {"postgres", "kafka", "migrate", "prometheus", "grafana"}
    assert set(CONTAINERS) == {*SERVICES, *others}
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert CONTAINERS["postgres"]["image"] == "postgres:18"


def test_one_image_is_run_by_five_commands_alike() -> None:
    for service in SERVICES:
        container = CONTAINERS[service]
        assert container["command"] == ["python", "-m", f"services.{service}", "--role", "all"]
        assert container["image"] == CONTAINERS["migrate"]["image"]
        # They differ in command, environment and port; everything else is one text.
        own = {"command", "environment", "ports"}
        assert {key: value for key, value in container.items() if key not in own} == {
            key: value for key, value in CONTAINERS["members"].items() if key not in own
        }


def test_what_is_set_for_a_service_is_a_setting_of_it() -> None:
    for service in SERVICES:
        unknown = [name for name in CONTAINERS[service]["environment"] if field_of(name, service) is None]
        assert not unknown, f"{service}: {unknown}"


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_would_start_with_the_environment_it_gets(
    service: str, dotenv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: filled(text, dotenv) for name, text in CONTAINERS[service]["environment"].items()}
    settings = settings_from(service, given, monkeypatch)
    assert settings.profile == "production"
    assert settings.bus == "kafka"
    assert settings.port == PORTS[service]
    # Reachable from other containers, and published to this machine only.
    assert settings.host == "0.0.0.0"
    assert CONTAINERS[service]["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    assert settings.database_url.get_secret_value() == (
        f"postgresql://{service}:{dotenv[service.upper() + '_DATABASE_PASSWORD']}@postgres:5432/{service}"
    )


def test_processes_get_the_time_they_need_to_drain(
    dotenv: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: filled(text, dotenv) for name, text in CONTAINERS["points"]["environment"].items()}
    settings = settings_from("points", given, monkeypatch)
    needed_seconds = settings.readiness_pause_seconds + 2 * settings.drain_seconds
    assert int(CONTAINERS["points"]["stop_grace_period"].removesuffix("s")) > needed_seconds


def test_the_pools_fit_into_postgres(dotenv: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    pools = 0
    for service in SERVICES:
        given = {name: filled(text, dotenv) for name, text in CONTAINERS[service]["environment"].items()}
        pools += settings_from(service, given, monkeypatch).database_pool_size
    assert pools + CONNECTIONS_BESIDE_THE_POOLS <= POSTGRES_CONNECTIONS


def test_secrets_are_required_and_the_printed_file_holds_all_of_them(dotenv: dict[str, str]) -> None:
    used = {found[0]: found[1] for text in texts(COMPOSE) for found in VARIABLE.findall(text)}
    assert {name for name, kind in used.items() if kind != ":?"} == {"REGULARS_IMAGE"}
    assert set(used) - {"REGULARS_IMAGE"} == set(dotenv) - {"COMPOSE_PROFILES"}
    # Nothing that looks like a secret is written out.
    for container in CONTAINERS.values():
        for name, value in container.get("environment", {}).items():
            if re.search(r"PASSWORD|SIGNING|SECRET", name):
                assert VARIABLE.fullmatch(value), name


def test_two_printed_files_share_no_secret(dotenv: dict[str, str]) -> None:
    secrets = [value for name, value in dotenv.items() if re.search(r"PASSWORD|SIGNING", name)]
    assert len(secrets) == len(set(secrets))
    assert all(len(secret) >= 48 for secret in secrets)


def test_the_migration_gets_every_database_and_runs_before_the_services() -> None:
    migrate = CONTAINERS["migrate"]
    assert migrate["command"] == ["python", "-m", "cli", "migrate"]
    assert set(migrate["environment"]) == {f"REGULARS_{service.upper()}_DATABASE_URL" for service in SERVICES}
    for service in SERVICES:
        assert (
            migrate["environment"][f"REGULARS_{service.upper()}_DATABASE_URL"]
            == CONTAINERS[service]["environment"]["REGULARS_DATABASE_URL"]
        )
        waits_for = {name: each["condition"] for name, each in CONTAINERS[service]["depends_on"].items()}
        assert waits_for == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "kafka": "service_healthy",
        }


def test_postgres_makes_a_database_and_an_owner_for_each_service() -> None:
    script = (ROOT / "deploy/compose/postgres/10-services.sh").read_text(encoding="utf-8")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert f"for service in {' '.join(SERVICES)}; do" in script
    wanted = {f"{service.upper()}_DATABASE_PASSWORD" for service in SERVICES}
    assert wanted <= set(CONTAINERS["postgres"]["environment"])


def test_the_single_broker_asks_for_one_copy_of_its_own_topics() -> None:
    environment = CONTAINERS["kafka"]["environment"]
    copies = {
        name: value for name, value in environment.items() if re.search(r"REPLICATION_FACTOR|MIN_ISR", name)
    }
    assert len(copies) == 5
    assert set(copies.values()) == {"1"}
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_every_container_is_bounded_and_watched() -> None:
    for name, container in CONTAINERS.items():
        assert container["profiles"] in (["core"], ["observability"]), name
        assert container["mem_limit"], name
        assert container["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert "no-new-privileges:true" in container["security_opt"], name
        assert name == "migrate" or container["healthcheck"]["test"][0] == "CMD", name
        assert name == "migrate" or container["restart"] == "unless-stopped", name


def test_what_is_mounted_from_the_tree_exists_and_volumes_are_declared() -> None:
    for container in CONTAINERS.values():
        for mount in container.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_dir(), source
                assert mount.endswith(":ro"), mount
            else:
                assert source in COMPOSE["volumes"], source


def test_only_this_machine_reaches_what_is_published() -> None:
    published = [port for container in CONTAINERS.values() for port in container.get("ports", ())]
    assert len(published) == len(SERVICES) + 2
    assert all(port.startswith("127.0.0.1:") for port in published)
    for data in ("postgres", "kafka"):
        assert CONTAINERS[data]["networks"] == ["data"]
    assert COMPOSE["networks"]["data"]["internal"] is True
