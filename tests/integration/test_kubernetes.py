"""What Dagster's launcher asks a cluster for with deploy/kubernetes, over HTTP: the pods of runs, and its permissions.

The API server is one that only remembers what it is asked; that a cluster grants it is read from the Role.
"""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest
import yaml

from tests.environment_fixtures import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
SCHEMAS = "1.33"
NAMESPACE = "clicklake"
IMAGE = "registry.example.com/clicklake:0.1.0"
POD = {
    "metadata": {"name": "run-pod", "namespace": NAMESPACE},
    "spec": {"containers": [{"name": "dagster", "image": IMAGE}]},
    "status": {
        "phase": "Failed",
        "containerStatuses": [
            {
                "name": "dagster",
                "image": IMAGE,
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            }
        ],
    },
}


class Api:
    """An API server on loopback. `asked` has (verb, API group, resource) of each request, `jobs` what was created."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, str, str]] = set()
        self.jobs: list[Any] = []
        self.pods = [POD]
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                content = api.take(self.command, self.path.partition("?")[0], body)
                self.send_response(200)
                is_text = isinstance(content, str)
                self.send_header("Content-Type", "text/plain" if is_text else "application/json")
                self.end_headers()
                self.wfile.write((content if is_text else json.dumps(content)).encode())

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def take(self, method: str, path: str, body: Any) -> Any:
        found = re.fullmatch(
            rf"/(?:api|apis/(?P<group>\w+))/v1/namespaces/{NAMESPACE}/(?P<kind>\w+)(/(?P<name>[\w-]+))?(/(?P<sub>\w+))?",
            path,
        )
        assert found, path
        verb = {"POST": "create", "DELETE": "delete"}.get(method) or ("get" if found["name"] else "list")
        resource = found["kind"] + (f"/{found['sub']}" if found["sub"] else "")
        self.asked.add((verb, found["group"] or "", resource))
        if method == "POST":
            self.jobs.append(body)
            return body
        if found["sub"] == "log":
            return "the last words"
        if found["sub"] == "status":
            return self.jobs[0] | {"status": {"active": 1}}
        if verb == "list":
            return {"items": {"pods": self.pods, "jobs": self.jobs}.get(found["kind"], [])}
        return {"kind": "Status", "status": "Success"}


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def instance(api: Api, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One whose run launcher is the one of dagster.yaml, in front of this API server."""
    if importlib.util.find_spec("dagster_k8s") is None:
        pytest.skip("dagster-k8s is not installed: pip install -r requirements-deploy.lock")
    host, port = api.server.server_address[:2]
    cluster = {"name": "c", "cluster": {"server": f"http://{host!s}:{port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
    access = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(access))
    launcher = settings()["run_launcher"]
    launcher["config"] |= {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"run_launcher": launcher}) as made:
        yield made


def settings() -> Any:
    return yaml.safe_load((KUBERNETES / "dagster.yaml").read_text("utf-8"))


@dg.op
def nothing() -> None:
    pass


@dg.job
def some_job() -> None:
    nothing()


@pytest.fixture
def run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    return launched(instance, {"container_config": {"resources": {"limits": {"memory": "16Gi"}}}})


def launched(instance: dg.DagsterInstance, k8s_config: dict[str, Any]) -> dg.DagsterRun:
    """A run with this as its tag `dagster-k8s/config`."""
    from dagster._core.definitions.reconstruct import reconstructable
    from dagster._core.launcher import LaunchRunContext
    from dagster._core.remote_origin import (
        GrpcServerCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.test_utils import create_run_for_test

    origin = reconstructable(some_job).get_python_origin()
    repository = origin.repository_origin
    location = GrpcServerCodeLocationOrigin(host="code-location", port=4000, location_name="clicklake")
    made = create_run_for_test(
        instance,
        job_name="daily_build",
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "daily_build"),
        job_code_origin=origin._replace(repository_origin=repository._replace(container_image=IMAGE)),
        tags={"dagster-k8s/config": json.dumps(k8s_config)},
    )
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=made, workspace=None))
    return made


def test_a_run_is_a_pod_that_may_do_little(api: Api, run: dg.DagsterRun) -> None:
    (job,) = api.jobs
    kubernetes_validate.validate(job, SCHEMAS, strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["args"][:3]) == (IMAGE, ["dagster", "api", "execute_run"])
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("clicklake", False)
    # What the namespace's `restricted` asks of every pod, and that nothing can be written but volumes.
    wanted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert wanted.items() <= container["securityContext"].items()
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])


def test_a_run_finds_its_settings_and_secrets(api: Api, run: dg.DagsterRun) -> None:
    (container,) = api.jobs[0]["spec"]["template"]["spec"]["containers"]
    named = [next(iter(each.values()))["name"] for each in container["envFrom"]]
    generated = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))["configMapGenerator"]
    assert set(named) == {each["name"] for each in generated if "envs" in each} | {"clicklake-secrets"}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    settings_of_runs = dict(
        line.split("=", 1) for line in (KUBERNETES / "settings.env").read_text("utf-8").splitlines()
    )
    assert settings_of_runs["CLICKLAKE_DUCKDB_TEMP_DIRECTORY"] in mounts
    assert settings_of_runs["TMPDIR"] in mounts


def test_a_tag_of_a_run_changes_its_size_alone(api: Api, run: dg.DagsterRun) -> None:
    (container,) = api.jobs[0]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "16Gi"


def test_a_tag_of_a_run_gives_it_no_other_rights(api: Api, instance: dg.DagsterInstance) -> None:
    with pytest.raises(Exception, match="service_account_name"):
        launched(instance, {"pod_spec_config": {"service_account_name": "dagster"}})
    assert api.jobs == []


def test_the_role_of_dagster_is_what_its_launcher_asks_for(
    api: Api, instance: dg.DagsterInstance, run: dg.DagsterRun
) -> None:
    launcher = instance.run_launcher
    assert launcher.check_run_worker_health(run).status.value == "RUNNING"
    assert "OOMKilled" in str(launcher.get_run_worker_debug_info(run))
    api.pods = []
    launcher.get_run_worker_debug_info(run)
    api.pods = [POD]
    assert launcher.terminate(run.run_id)

    (role,) = [each for each in yaml.safe_load_all((KUBERNETES / "access.yaml").read_text("utf-8")) if "rules" in each]
    granted = {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == api.asked
