"""The image and the compose file: hadolint and the schema accept them, and they say what the service needs."""

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch

import pytest
import yaml
from manifests import COMPOSE, CONTAINER, DOCKERFILE, PROJECT, program, run, settings_of, stages, stop_s, variables

from src import __version__
from src.settings import Settings

TEXT = DOCKERFILE.read_text()
STAGES = stages(TEXT)
IMAGES = ["cpu", "cuda"]


def arguments(stage: str, instruction: str) -> list[str]:
    return [argument for name, argument in STAGES[stage] if name == instruction]


def test_hadolint_accepts_the_dockerfile():
    ended = run(program("hadolint"), "--no-color", "--failure-threshold", "style", DOCKERFILE)
    assert (ended.stdout, ended.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("line", "broken", "rule"),
    [
        ('CMD ["python", "-m", "src"]', "CMD python -m src", "DL3025"),
        ("ARG CPU_IMAGE=ubuntu:24.04", "ARG CPU_IMAGE=ubuntu:24.04\nFROM ubuntu:latest AS other", "DL3007"),
        ("--no-install-recommends ", "", "DL3015"),
        ("&& rm -rf /var/lib/apt/lists/*", "&& true", "DL3009"),
        ("WORKDIR /opt/parakeet", "WORKDIR parakeet", "DL3000"),
        ("EXPOSE 8000", "EXPOSE 80000", "DL3011"),
        ("VOLUME", "VOLUMES", "missing whitespace"),
    ],
)
def test_hadolint_finds_what_is_wrong_in_a_dockerfile(tmp_path, line, broken, rule):
    path = tmp_path / "Dockerfile"
    path.write_text(TEXT.replace(line, broken))
    ended = run(program("hadolint"), "--no-color", "--failure-threshold", "style", path)
    assert ended.returncode == 1
    assert rule in ended.stdout


def test_the_default_image_is_for_a_gpu_on_a_base_that_is_pinned_by_its_digest():
    (base,) = [each for name, each in STAGES["arguments"] if each.startswith("CUDA_IMAGE=")]
    assert re.fullmatch(r"CUDA_IMAGE=nvidia/cuda:13\.\d\.\d-[\w.-]+@sha256:[0-9a-f]{64}", base)
    assert STAGES[""] == [("FROM", "cuda")]
    assert STAGES["cuda-python"][0] == ("FROM", "${CUDA_IMAGE} AS cuda-python")
    assert STAGES["cuda"][0] == ("FROM", "cuda-python AS cuda")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_its_own_user_who_may_write_to_the_volumes_alone(image):
    (user,) = arguments(image, "RUN")
    assert "useradd --uid 10001 " in user
    assert "install --directory --owner=10001 --group=10001 /cache /logs" in user
    assert arguments(image, "USER") == ["10001:10001"]
    (volumes,) = arguments(image, "VOLUME")
    assert json.loads(volumes) == ["/cache", "/logs"]
    assert STAGES[image].index(("RUN", user)) < STAGES[image].index(("VOLUME", volumes))  # or the owner is lost
    assert [each for each in arguments(image, "COPY") if "--chown" in each] == []
    paths = variables(STAGES[image])
    written = [paths[name] for name in ("HF_HOME", "PARAKEET_LOG_DIR", "HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")]
    assert all(path.startswith(("/cache", "/logs", "/tmp")) for path in written)


@pytest.mark.parametrize("image", IMAGES)
def test_an_init_is_the_first_process_of_an_image(image):
    assert json.loads(arguments(image, "ENTRYPOINT")[0]) == ["tini", "--"]
    assert json.loads(arguments(image, "CMD")[0]) == ["python", "-m", "src"]
    assert re.search(r"\btini\b", arguments(f"{image}-python", "RUN")[0])


def test_the_images_differ_only_in_their_packages_and_in_what_a_gpu_needs():
    def common(image: str) -> list[tuple[str, str]]:
        own = ("FROM", "ARG")
        kept = [(name, each.replace(image, "IMAGE")) for name, each in STAGES[image] if name not in own]
        return [each for each in kept if "CUDA" not in each[1] and "DEVICE" not in each[1] and " cache" not in each[1]]

    assert common("cpu") == common("cuda")


def test_the_images_set_what_settings_there_are():
    cpu, cuda = (settings_of(variables(STAGES[image])) for image in IMAGES)
    assert (cpu.model_id, cpu.device, str(cpu.log_dir)) == ("tiny", "cpu", "/logs")
    assert str(cuda.log_dir) == "/logs"
    exported = dict(re.findall(r"^export (\w+)=\"\$\{\1:-(.*)\}\"$", (PROJECT / "scripts/env.sh").read_text(), re.M))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_MODULE_LOADING"):
        assert variables(STAGES["cuda"])[name] == exported[name]


def test_weights_are_in_the_image_only_if_an_argument_names_them():
    (download,) = [each for each in arguments("cuda-packages", "RUN") if "hf_hub_download" in each]
    assert 'if [ -n "$WEIGHTS" ]' in download
    assert arguments("cuda-packages", "ARG") == arguments("cuda", "ARG") == ['WEIGHTS=""']
    paths = variables(STAGES["cuda"])
    assert paths["PARAKEET_MODEL_ID"] == "${WEIGHTS}"
    assert paths["HF_HUB_CACHE"] == "${WEIGHTS:+/opt/parakeet}/cache/hub"


def test_the_build_installs_what_the_project_needs_in_the_versions_of_the_constraints(tmp_path):
    (split,) = arguments("requirements", "RUN")
    code = re.fullmatch(r"python3 -c '(.*)'", split)[1]
    (tmp_path / "pyproject.toml").write_text((PROJECT / "pyproject.toml").read_text())
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    whole = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    project = whole["project"]
    alone = whole["tool"].get("parakeet", {}).get("without-dependencies", [])
    assert (tmp_path / "service.txt").read_text().splitlines() == project["dependencies"]
    assert (tmp_path / "without-dependencies.txt").read_text().split() == alone
    assert (tmp_path / "fleet.txt").read_text().splitlines() == project["optional-dependencies"]["fleet"]
    for stage, wanted in (("cpu-packages", "service"), ("cuda-packages", "service"), ("ray", "fleet")):
        install, *others = [each for each in arguments(stage, "RUN") if "pip install" in each]
        assert all(each.endswith("--no-deps -r without-dependencies.txt") for each in others)
        assert "--mount=type=cache,target=/root/.cache/pip" in install
        assert re.search(rf"-c (scripts/)?constraints\.txt -r {wanted}\.txt$", install)


def is_in_context(path: str) -> bool:
    """Whether the build sees a path: of the patterns that fit, the last one counts."""
    is_seen = True
    for line in (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
        patterns = [pattern, pattern.removeprefix("**/")]
        if line and not line.startswith("#") and any(fnmatch(each, one) for each in parents for one in patterns):
            is_seen = line.startswith("!")
    return is_seen


def test_the_build_sees_what_it_copies_and_neither_keys_nor_logs():
    copied = [argument.split() for stage in STAGES for argument in arguments(stage, "COPY") if "--from" not in argument]
    sources = [source for *found, _ in copied for source in found]
    assert {"pyproject.toml", "scripts/constraints.txt", "scripts/haproxy.sh", "src"} == set(sources)
    assert all(is_in_context(source) and (PROJECT / source).exists() for source in sources)
    assert is_in_context("src/api/health.py")
    assert is_in_context("src/assets/parakeet-tdt-tiny.nemo")
    for private in (".env", ".git/config", "logs/server.log", "test/conftest.py", ".venv/bin/python", "scripts/lib.sh"):
        assert not is_in_context(private), private


def schema_errors(path) -> subprocess.CompletedProcess[str]:
    return run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)


def test_the_schema_accepts_the_compose_file():
    ended = schema_errors(COMPOSE)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("line", "broken", "reason"),
    [
        ("read_only: true", "read_onyl: true", "read_onyl"),
        ("cap_drop: [ALL]", "cap_drop: ALL", "'ALL' is not of type 'array'"),
        ("capabilities: [gpu]", "capabilities: gpu", "'gpu' is not"),
        ("stop_grace_period: 40s", "stop_grace_period: [40]", "stop_grace_period"),
    ],
)
def test_the_schema_finds_what_is_wrong_in_a_compose_file(tmp_path, line, broken, reason):
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE.read_text().replace(line, broken))
    ended = schema_errors(path)
    assert ended.returncode == 1
    assert reason in ended.stdout


def test_compose_starts_the_gpu_image_by_default_and_the_cpu_image_by_its_profile():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    gpu, cpu = services["parakeet"], services["parakeet-cpu"]
    assert "profiles" not in gpu
    assert cpu["profiles"] == ["cpu"]
    assert (gpu["image"], cpu["image"]) == (f"parakeet:{__version__}", f"parakeet:{__version__}-cpu")
    assert (gpu["build"]["target"], cpu["build"]["target"]) == ("cuda", "cpu")
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "deploy" not in cpu
    for service in (gpu, cpu):
        assert (COMPOSE.parent / service["build"]["context"]).resolve() == PROJECT
        assert PROJECT / service["build"]["dockerfile"] == DOCKERFILE
        settings = settings_of(service["environment"])
        assert (str(settings.log_dir), settings.port) == ("/logs", 8000)
        assert {each.partition(":")[2] for each in service["volumes"]} == {"/logs", "/cache"}
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["stop_grace_period"].removesuffix("s")) > stop_s(Settings())
