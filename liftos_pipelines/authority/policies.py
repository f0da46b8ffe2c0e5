"""Under which policy a client's agents act: the client's own file, or the packaged default."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.agentic.policy import Policy, PolicyError, parse_policy

DEFAULT_POLICY = Path(__file__).resolve().parents[1] / "policies" / "default.yaml"


def client_policy(client: ClientConfig) -> Policy:
    """The client's own policy file, or the packaged default.

    Raises
    ------
    PolicyError : the file is absent, unreadable, or says something a policy cannot say
    """
    domains = tuple(client.brand.domains) if client.brand else ()
    if client.policies is None:
        return _policy(None, domains, 0, 0)
    file = client.folder / client.policies
    if not file.is_file():
        raise PolicyError(f"{client.folder / 'client.yaml'}: policies: there is no file {file}; mend the path")
    said = file.stat()
    return _policy(file, domains, said.st_mtime_ns, said.st_size)


@lru_cache(maxsize=64)
def _policy(file: Path | None, domains: tuple[str, ...], changed_at: int, size: int) -> Policy:
    """A policy as it was at `changed_at`, read once by a process that lives on."""
    variables, default = {"internal_domains": list(domains)}, _read_yaml(DEFAULT_POLICY)
    if file is None:
        return parse_policy(default, file="default policy", variables=variables)
    return parse_policy(_read_yaml(file), file=str(file), base=default, variables=variables)


def _read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file}: not readable as YAML: {error}") from error
