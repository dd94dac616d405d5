"""deploy/ is what it should be, as far as can be told without a container engine or a cluster."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from orchestration.settings import LakeSettings, Settings
from tests.environment_fixtures import ROOT
from tests.go_programs import built_program

DEPLOY = ROOT / "deploy"
COMPOSE, KUBERNETES = DEPLOY / "compose", DEPLOY / "kubernetes"
NAME = re.compile(r"[\w.-]+")  # of a package, at the beginning of what is wanted
SCHEMAS = ("1.33", "1.37")  # of clusters in use
SECRET = re.compile(r"PASSWORD|SECRET|HASH_KEY|ACCESS_KEY|MONGODB_URL|ADMIN_URL|TOKEN")


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


SERVICES = loaded(COMPOSE / "compose.yaml")["services"]
ONCE = {"make-buckets", "make-users"}


@pytest.fixture(scope="module")
def reader() -> Path:
    return built_program(ROOT / "tests" / "compose", "what reads compose files as docker compose does")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of deploy/compose, where .env may be written."""
    return Path(shutil.copytree(COMPOSE, tmp_path / "compose", ignore=shutil.ignore_patterns(".env")))


def read(reader: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [reader, folder / "compose.yaml"]
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)


# Compose.


def test_compose_reads_the_file(reader: Path, folder: Path) -> None:
    subprocess.run([folder / "make-env"], check=True, capture_output=True)

    done = read(reader, folder)

    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert {port["host_ip"] for service in services.values() for port in service.get("ports", [])} == {"127.0.0.1"}


def test_compose_asks_for_every_secret(reader: Path, folder: Path) -> None:
    (folder / ".env").write_text((folder / ".env.example").read_text("utf-8"), "utf-8")

    done = read(reader, folder)

    assert done.returncode != 0
    assert set(secrets_of_example()) <= set(re.findall(r"required variable (\w+) is missing", done.stderr))


def test_make_env_gives_every_secret_another_value(folder: Path) -> None:
    subprocess.run([folder / "make-env"], check=True, capture_output=True)

    written = folder / ".env"
    values = dict(line.split("=", 1) for line in written.read_text("utf-8").splitlines() if re.match("[A-Z]", line))
    made = [values[name] for name in secrets_of_example()]
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made)
    assert subprocess.run([folder / "make-env"], capture_output=True, check=False).returncode == 1
    assert values == dict(
        line.split("=", 1) for line in written.read_text("utf-8").splitlines() if re.match("[A-Z]", line)
    )


def secrets_of_example() -> list[str]:
    text = (COMPOSE / ".env.example").read_text("utf-8")
    found = re.findall(r"^(\w+)=$", text, re.MULTILINE)
    assert [name for name in found if not SECRET.search(name)] == []
    assert [name for name in re.findall(r"^(\w+)=.", text, re.MULTILINE) if SECRET.search(name)] == []
    return found


def test_every_service_is_watched_bounded_and_started_again() -> None:
    for name, service in SERVICES.items():
        assert service["mem_limit"], name
        assert service["restart"] == ("on-failure:5" if name in ONCE else "unless-stopped"), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert ("healthcheck" in service) == (name not in ONCE), name


def test_images_are_pinned() -> None:
    dockerfile = (COMPOSE / "Dockerfile").read_text("utf-8")
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    images += re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert len(images) == 6
    assert [image for image in images if not re.search(r":v?\d+\.\d+[.\d]*(-\w+)*$", image)] == []


def test_no_service_has_the_engine_or_the_machine() -> None:
    text = (COMPOSE / "compose.yaml").read_text("utf-8")
    assert [word for word in ("docker.sock", "privileged:", "network_mode", "pid:") if word in text] == []
    for name, service in SERVICES.items():
        if "build" in service:
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
            written = [place.partition(":")[0] for place in service["tmpfs"]]
            assert written == ["/tmp", "/opt/dagster/home"], name  # Dagster makes folders in its home


def test_ports_are_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports != []
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_no_secret_is_written_down() -> None:
    named = 0
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                named += 1
                assert re.search(r"\$\{\w+:\?", value), (name, variable)
    assert named > 10


def test_only_the_code_location_knows_all_settings() -> None:
    knows = {
        name: {variable for variable in service["environment"] if variable.startswith("CLICKLAKE_")}
        for name, service in SERVICES.items()
    }
    lake = {f"CLICKLAKE_{name}".upper() for name in LakeSettings.model_fields}
    assert {name for name, settings in knows.items() if settings} == {"code-location", "metrics"}
    assert "CLICKLAKE_HASH_KEY" in knows["code-location"]
    assert knows["metrics"] <= lake


def test_the_places_that_services_name_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).is_file(), (name, source)
            else:
                assert source in loaded(COMPOSE / "compose.yaml")["volumes"], (name, source)


# The image.


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", (COMPOSE / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_the_image_copies_exists_and_is_let_in() -> None:
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1] == "*"
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert sorted(let_in) == sorted(set(copied()))


def test_the_image_has_every_package_and_no_root() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert set(built["wheel"]["packages"]) <= set(copied())
    users = re.findall(r"^USER (\S+)$", (COMPOSE / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert users == ["10001:10001"]


def test_the_deployment_has_the_versions_that_are_tested() -> None:
    tested, deployed = (versions(ROOT / name) for name in ("requirements.lock", "requirements-deploy.lock"))
    assert {"dagster-postgres", "dagster-k8s"} <= set(deployed)
    assert {name: tested[name] for name in deployed if name in tested} == {
        name: version for name, version in deployed.items() if name in tested
    }


def test_the_deployment_has_nothing_that_serves_the_demo_or_development_alone() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = [found for extra in ("demo", "dev", "bench") for found in map(NAME.match, extras[extra]) if found]
    assert {"moto", "nx-27017", "pytest"} <= {found[0] for found in wanted}
    assert not {found[0] for found in wanted} & set(versions(ROOT / "requirements-deploy.lock"))


def versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text("utf-8"), re.MULTILINE))


# Kubernetes.


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in loaded(KUBERNETES / "kustomization.yaml")["resources"]:
        for manifest in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8")):
            yield name, manifest


def built() -> list[dict[str, Any]]:
    """What `kubectl apply -k` sends."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("version", SCHEMAS)
def test_the_manifests_are_what_a_cluster_knows(version: str) -> None:
    for _, manifest in manifests():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_kustomize_builds_them() -> None:
    objects = built()
    for each in objects:
        kubernetes_validate.validate(each, SCHEMAS[0], strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "clicklake"
    images = {container["image"] for _, container in containers(objects)}
    assert images == {"registry.example.com/clicklake:0.1.0"}
    (code,) = [container for name, container in containers(objects) if name == "code-location"]
    assert {"name": "DAGSTER_CURRENT_IMAGE", "value": code["image"]} in code["env"]


def containers(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (each["metadata"]["name"], container)
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    ]


def test_pods_may_do_little() -> None:
    deployments = [each for _, each in manifests() if each["kind"] == "Deployment"]
    assert len(deployments) == 4
    for each in deployments:
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"startupProbe", "livenessProbe"} <= container.keys()
            assert {"requests", "limits"} <= container["resources"].keys()


def test_secrets_are_named_and_not_contained() -> None:
    assert [name for name, manifest in manifests() if manifest["kind"] == "Secret"] == []
    for path in KUBERNETES.glob("*.env"):
        assert [line for line in path.read_text("utf-8").splitlines() if SECRET.search(line.split("=")[0])] == []
    for _, container in containers([each for _, each in manifests()]):
        assert [each for each in container["env"] if SECRET.search(each["name"]) and "valueFrom" not in each] == []


def test_what_manifests_refer_to_is_there() -> None:
    kustomization = loaded(KUBERNETES / "kustomization.yaml")
    maps = {each["name"] for each in kustomization["configMapGenerator"]}
    files = [
        name for each in kustomization["configMapGenerator"] for name in each.get("envs", []) + each.get("files", [])
    ]
    assert [name for name in files if not (KUBERNETES / name).is_file()] == []
    accounts = {each["metadata"]["name"] for _, each in manifests() if each["kind"] == "ServiceAccount"}
    services = {each["metadata"]["name"] for _, each in manifests() if each["kind"] == "Service"}
    for _, each in manifests():
        if each["kind"] == "Deployment":
            assert each["spec"]["template"]["spec"]["serviceAccountName"] in accounts
    for _, container in containers([each for _, each in manifests()]):
        assert {each["configMapRef"]["name"] for each in container["envFrom"] if "configMapRef" in each} <= maps
    (server,) = loaded(KUBERNETES / "workspace.yaml")["load_from"]
    assert server["grpc_server"]["host"] in services
    launcher = loaded(KUBERNETES / "dagster.yaml")["run_launcher"]["config"]
    assert {launcher["instance_config_map"], *launcher["env_config_maps"]} <= maps
    assert launcher["service_account_name"] in accounts
    assert "max_resume_run_attempts" not in loaded(KUBERNETES / "dagster.yaml")["run_monitoring"]


# Both.


@pytest.mark.parametrize("folder", [COMPOSE, KUBERNETES], ids=["compose", "kubernetes"])
def test_dagster_understands_its_settings(folder: Path) -> None:
    understood, _ = dagster_instance_config(str(folder))
    assert understood["telemetry"] == {"enabled": False}
    assert understood["concurrency"]["runs"]["max_concurrent_runs"] == 2
    retried = understood["run_retries"]
    assert (retried["enabled"], retried["retry_on_asset_or_op_failure"]) == (True, False)


def test_every_variable_of_dagster_is_given() -> None:
    for folder, given in (
        (COMPOSE, set(SERVICES["daemon"]["environment"])),
        (KUBERNETES, set(re.findall(r"^(\w+)=", (KUBERNETES / "dagster.env").read_text("utf-8"), re.MULTILINE))),
    ):
        wanted = set(re.findall(r"\{env: (\w+)\}", "".join(path.read_text("utf-8") for path in folder.glob("*.yaml"))))
        wanted -= {"DAGSTER_PG_PASSWORD"} if folder == KUBERNETES else set()
        assert wanted, folder
        assert wanted <= given, folder


def test_every_setting_that_is_named_exists() -> None:
    known = {f"CLICKLAKE_{name}".upper() for name in Settings.model_fields}
    named = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file() and path.name != ".env"
        for name in re.findall(r"\bCLICKLAKE_[A-Z0-9_]+", path.read_text("utf-8"))
    }
    assert len(named) > 10
    assert named <= known


def test_launchers_of_other_extras_are_named_as_they_are_called() -> None:
    if importlib.util.find_spec("dagster_k8s") is None:
        pytest.skip("dagster-k8s is not installed: pip install -r requirements-deploy.lock")
    from dagster._config import process_config
    from dagster_k8s import K8sRunLauncher

    given = loaded(KUBERNETES / "dagster.yaml")["run_launcher"]
    assert (given["module"], given["class"]) == ("dagster_k8s", K8sRunLauncher.__name__)
    result = process_config(K8sRunLauncher.config_type(), given["config"])
    assert result.success, result.errors
