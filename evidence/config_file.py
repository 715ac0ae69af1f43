"""Reading a config file. Needs PyYAML; nothing that verifies a bundle does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence.spec import Problem, RunSpec, SpecError, parse

LONGEST = 1_000_000


def load(path: Path) -> tuple[dict[str, Any], str]:
    """The document in a YAML file and its text. Raises SpecError naming the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([Problem("config", f"{path}: {reason}")]) from None
    return loads(text, str(path)), text


def loads(text: str, source: str) -> dict[str, Any]:
    """The document in YAML ``text``. Raises SpecError naming ``source``, line and column."""
    import yaml

    if len(text) > LONGEST:
        raise SpecError([Problem("config", f"{source} has more than {LONGEST:,} characters")])
    try:
        document = yaml.load(text, Loader=_unique_loader())
    except RecursionError:
        raise SpecError([Problem("config", f"{source} is nested too deeply")]) from None
    except yaml.YAMLError as error:
        raise SpecError([Problem("config", f"{source}: {' '.join(str(error).split())}")]) from None
    if not isinstance(document, dict):
        raise SpecError([Problem("config", f"{source} must hold a mapping of settings")])
    return document


def dumps(document: dict[str, Any]) -> str:
    """YAML text of ``document``; ``loads(dumps(d)) == d``."""
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def load_spec(path: Path) -> RunSpec:
    """The spec in a config file; every problem names the file. Raises SpecError."""
    try:
        return parse(load(path)[0])
    except SpecError as error:
        prefixed = [
            Problem(item.field, item.message if item.field == "config" else f"{path}: {item.message}")
            for item in error.problems
        ]
        raise SpecError(prefixed) from None


def _unique_loader() -> Any:
    """SafeLoader that refuses a key standing twice and aliases (a short text could stand for gigabytes), and leaves
    dates as text."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.composer.ComposerError(None, None, "aliases are not taken: write the value out", mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value:
                value = self.construct_object(key, deep=True)
                if not isinstance(value, str):
                    raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
                if value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {value!r} stands twice", key.start_mark
                    )
                seen.add(value)
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader
