"""Under which policy a client's agents act: the client's own file, or the packaged default."""

from functools import lru_cache

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.agentic.policy import Policy, PolicyError
from liftos_pipelines.resources.policy_files import kept_policy, read_policy


def client_policy(client: ClientConfig) -> Policy:
    """The client's own policy file (YAML or Cedar), or the packaged default.

    Raises
    ------
    PolicyError : the file is absent, unreadable, or says something a policy cannot say
    """
    domains = tuple(client.brand.domains) if client.brand else ()
    if client.policies is None:
        return _default(domains)
    file = client.folder / client.policies
    if not file.is_file():
        raise PolicyError(f"{client.folder / 'client.yaml'}: policies: there is no file {file}; mend the path")
    return kept_policy(file, domains)


@lru_cache(maxsize=64)
def _default(domains: tuple[str, ...]) -> Policy:
    return read_policy(None, variables={"internal_domains": domains})
