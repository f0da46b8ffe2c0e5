"""Policy files read from disk: YAML with the packaged ones it extends, or Cedar; kept until one of them changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from liftos_pipelines.modules.agentic.policy import Policy, PolicyError, parse_policy

PACKAGED = Path(__file__).resolve().parents[1] / "policies"
DEFAULT = PACKAGED / "default.yaml"
CEDAR_FIELDS = ("policies", "schema", "entities", "resources")
LARGEST, DEEPEST = 1_000_000, 64
Stamp = tuple[Path, int, int]
_KEPT: dict[tuple[Path, tuple[str, ...]], tuple[tuple[Stamp, ...], Policy]] = {}


def kept_policy(file: Path, domains: tuple[str, ...]) -> Policy:
    """`read_policy`, read again only when the file or one beside it that it names was written again."""
    key = (file, domains)
    kept = _KEPT.get(key)
    if kept is not None and kept[0] == _stamps(stamp[0] for stamp in kept[0]):
        return kept[1]
    files = files_of(file)
    stamps = _stamps(files)
    policy = read_policy(file, variables={"internal_domains": domains})
    if len(_KEPT) >= 64:
        _KEPT.clear()
    _KEPT[key] = (stamps, policy)
    return policy


def read_policy(
    file: Path | None, *, variables: Mapping[str, Sequence[str]] | None = None, agents: Collection[str] | None = None
) -> Policy:
    """The policy that a file holds; the packaged default for None.

    Raises
    ------
    PolicyError : the file cannot be read, or says something a policy cannot say; all problems at once
    """
    default, variables = read_yaml(DEFAULT), {"internal_domains": (), **(variables or {})}
    if file is None:
        return parse_policy(default, file="default policy", packs=packs(), variables=variables, agents=agents)
    if file.suffix == ".cedar":
        content: Any = {"name": file.stem, "tools": default["tools"], "cedar": cedar_beside(file)}
    else:
        content = read_yaml(file)
    authority = authority_content = None
    if isinstance(content, dict) and content.get("cedar") is not None:
        from liftos_pipelines.resources.cedar_policies import read_cedar

        authority, authority_content = read_cedar(content["cedar"], file)
    policy = parse_policy(
        content,
        file=str(file),
        base=default,
        packs=packs(),
        variables=variables,
        agents=agents,
        authority=authority,
        authority_content=authority_content,
    )
    if authority is not None:
        authority.refuse_unknown_tools(policy)
    return policy


def files_of(file: Path) -> tuple[Path, ...]:
    """The files that make a policy: the one named, and those it names."""
    if file.suffix == ".cedar":
        said: Any = cedar_beside(file)
        also = [file.with_suffix(".cedarschema"), file.with_suffix(".entities.json")]
    else:
        content = read_yaml(file)
        said, also = content.get("cedar") if isinstance(content, dict) else None, []
    named = (
        [file.parent / said[key] for key in CEDAR_FIELDS[:3] if isinstance(said.get(key), str)]
        if isinstance(said, dict)
        else []
    )
    return (file, *named, *also)


def cedar_beside(file: Path) -> dict[str, Any]:
    """What a `cedar:` field would say of a Cedar file: its schema and entities, where they stand beside it."""
    beside = {"schema": file.with_suffix(".cedarschema"), "entities": file.with_suffix(".entities.json")}
    return {"policies": file.name} | {key: found.name for key, found in beside.items() if found.is_file()}


@lru_cache(maxsize=1)
def packs() -> dict[str, Any]:
    """The packaged policies that may be extended besides the default, by name."""
    return {file.stem: read_yaml(file) for file in sorted((PACKAGED / "packs").glob("*.yaml"))}


class _Loader(yaml.SafeLoader):
    """YAML that says what it says where it says it.

    Refused: a field given twice (YAML would take the last and say nothing), aliases and merge keys (a policy could hold
    itself, or unfold to more than memory takes), deep nesting, and text that is no Unicode.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            found = self.peek_event()
            raise PolicyError(f"line {found.start_mark.line + 1}: aliases (*{found.anchor}) are not read; write it out")
        if self.depth >= DEEPEST:
            raise PolicyError(f"line {self.peek_event().start_mark.line + 1}: nested deeper than {DEEPEST}")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                raise PolicyError(f"line {line}: merge keys (<<) are not read; write the fields out")
            name = str(self.construct_object(key, deep=True))
            if name in names:
                raise PolicyError(f'line {line}: "{name}" is given twice; keep one of them')
            names.add(name)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        said = super().construct_scalar(node)
        try:
            str(said).encode()
        except UnicodeEncodeError:
            raise PolicyError(f"line {node.start_mark.line + 1}: this text is no Unicode") from None
        return said


def read_yaml(file: Path) -> Any:
    """What a YAML file holds.

    Raises
    ------
    PolicyError : it is not readable, larger than a megabyte, gives a field twice, or is no plain tree
    """
    try:
        if file.stat().st_size > LARGEST:
            raise PolicyError(f"larger than {LARGEST:,} bytes; a policy is written by hand")
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except PolicyError as error:
        raise PolicyError(f"{file}: {error}") from error
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise PolicyError(f"{file}: not readable as YAML: {error}") from error


def _stamps(files: Any) -> tuple[Stamp, ...]:
    found = []
    for file in files:
        try:
            said = file.stat()
            found.append((file, said.st_mtime_ns, said.st_size))
        except OSError:
            found.append((file, 0, -1))
    return tuple(found)
