"""RunSpec: what was asked of a run. Frozen, complete, and the only place where limits are checked.

A limit is written once, beside its field. From there come the check at the door (CLI, ``POST /runs``, the form),
the sentence that names what is wrong, and the JSON Schema that draws the form.

    SpecError                 everything wrong with one spec: a tuple of Problem(field, message)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from evidence.canonical import LARGEST_INTEGER

SCHEMA = "assay/run_spec@1"
GPU_PARAMETER_LIMIT = 1_000_000_000
"""Models of this many parameters or more never train on a GPU."""

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Problem:
    field: str
    message: str

    def __str__(self) -> str:
        return self.message


class SpecError(ValueError):
    """The spec cannot be run. ``problems`` names each broken field; ``str()`` is all of them, a line each."""

    def __init__(self, problems: list[Problem] | tuple[Problem, ...]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.message for problem in self.problems))


def knob(
    default: Any = MISSING,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    unit: str = "",
    format: str = "",
) -> Any:
    """A field of a spec with its limits: ``minimum <= value <= maximum``, ``above < value < below``."""
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "below": below, "choices": choices}
    return field(default=default, metadata={"help": help, "unit": unit, "format": format, **limits})


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A Gemma 1 decoder. Names are those of Hugging Face's GemmaConfig."""

    vocab_size: int = knob(help="Rows of the embedding; at least the tokenizer's size", minimum=2, maximum=1_000_000)
    hidden_size: int = knob(help="Width of the residual stream", minimum=8, maximum=65_536)
    intermediate_size: int = knob(help="Width inside the gated MLP", minimum=8, maximum=262_144)
    num_hidden_layers: int = knob(help="Decoder layers", minimum=1, maximum=256)
    num_attention_heads: int = knob(help="Query heads", minimum=1, maximum=1_024)
    num_key_value_heads: int = knob(help="Key and value heads; divides the query heads", minimum=1, maximum=1_024)
    head_dim: int = knob(help="Width of one head; even, for the rotary embedding", minimum=2, maximum=1_024)
    max_position_embeddings: int = knob(8192, "Longest sequence the model takes", minimum=8, unit="tokens")
    rope_theta: float = knob(10_000.0, "Base of the rotary embedding", above=1.0)
    rms_norm_eps: float = knob(1e-6, "Epsilon of the RMS norms", above=0.0, below=1.0)


@dataclass(frozen=True, kw_only=True)
class WeightsSpec:
    """Where training starts from."""

    source: str = knob("random", "Initial weights", choices=("random", "folder", "hub", "kaggle"))
    path: str = knob("", "A Hugging Face folder (source: folder)", format="path")
    repository: str = knob("", "Repository on the hub, owner/name (source: hub)")
    revision: str = knob("", "Commit of that repository, 40 hex digits (source: hub)")
    handle: str = knob("", "An attached Kaggle model, owner/model/framework/variation/version (source: kaggle)")


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """How text becomes token ids."""

    kind: str = knob(
        "byte",
        "Bytes, a BPE trained on the training rows, or a Hugging Face tokenizer",
        choices=("byte", "trained", "huggingface"),
    )
    path: str = knob("", "Folder of the tokenizer (kind: huggingface)", format="path")
    vocab_size: int = knob(512, "Entries to train (kind: trained)", minimum=300, maximum=1_000_000)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """JSON Lines with a prompt field and an answer field."""

    train_path: str = knob(help="JSON Lines file of training rows", format="path")
    eval_path: str = knob(
        "", "JSON Lines file of held-out rows; empty: the last eval_rows of train_path are held out", format="path"
    )
    eval_rows: int = knob(64, "Held-out rows to evaluate on", minimum=1, maximum=1_000_000, unit="rows")
    prompt_field: str = knob("prompt", "Field with the question")
    answer_field: str = knob("answer", "Field with the answer")
    template: str = knob(
        "{prompt}\n{answer}", "Text of one row: {prompt}, then {answer} at the end", format="multiline"
    )
    answer_delimiter: str = knob(
        "####", "The final answer is what follows its last occurrence; empty: the whole answer"
    )
    loss_on: str = knob("answer", "Tokens that are trained on", choices=("answer", "all"))
    packing: bool = knob(False, "Several short rows share one sequence, and none sees another")


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    steps: int = knob(help="Optimizer steps", minimum=1, maximum=10_000_000, unit="steps")
    batch_size: int = knob(
        help="Rows of one optimizer step, over all devices", minimum=1, maximum=1_000_000, unit="rows"
    )
    sequence_length: int = knob(help="Tokens of one row, padding included", minimum=8, maximum=1_000_000, unit="tokens")
    gradient_accumulation: int = knob(1, "Micro-batches of one step; divides batch_size", minimum=1, maximum=65_536)
    seed: int = knob(0, "Seed of weights, data order and sampling", minimum=0, maximum=2**32 - 1)
    compute_dtype: str = knob(
        "float32", "Type of activations; weights and optimizer state stay float32", choices=("float32", "bfloat16")
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    name: str = knob("adamw", "Optimizer", choices=("adamw", "adafactor"))
    learning_rate: float = knob(help="Peak learning rate", above=0.0, maximum=10.0)
    schedule: str = knob("cosine", "Decay after the warm-up", choices=("constant", "linear", "cosine"))
    warmup_steps: int = knob(0, "Steps of linear warm-up; fewer than steps", minimum=0, unit="steps")
    final_learning_rate_ratio: float = knob(0.1, "Last learning rate as a share of the peak", minimum=0.0, maximum=1.0)
    weight_decay: float = knob(0.0, "Decoupled weight decay", minimum=0.0, below=1.0)
    beta1: float = knob(0.9, "Decay of the first moment (AdamW)", minimum=0.0, below=1.0)
    beta2: float = knob(0.999, "Decay of the second moment (AdamW)", minimum=0.0, below=1.0)
    epsilon: float = knob(1e-8, "Added to the denominator", above=0.0, below=1.0)
    gradient_clip: float = knob(1.0, "Largest global gradient norm; 0: no clipping", minimum=0.0)


@dataclass(frozen=True, kw_only=True)
class LoraSpec:
    """Low-rank adapters beside frozen matrices (Hu et al. 2021), instead of training every parameter."""

    rank: int = knob(0, "Rank of the adapters; 0: every parameter is trained", minimum=0, maximum=4_096)
    alpha: float = knob(16.0, "Their product is scaled by alpha / rank", above=0.0, maximum=65_536.0)
    targets: str = knob("attention", "Matrices that get adapters", choices=("attention", "mlp", "all"))

    def adapts(self, matrix: str) -> bool:
        """Whether the matrix of this name (``query``, ``down``, …) gets an adapter."""
        groups = ("attention", "mlp") if self.targets == "all" else (self.targets,)
        return self.rank > 0 and any(matrix in ADAPTED[group] for group in groups)


ADAPTED = {"attention": ("query", "key", "value", "output"), "mlp": ("gate", "up", "down")}


@dataclass(frozen=True, kw_only=True)
class PlanSpec:
    """How the step is laid out over devices and memory. It changes speed and memory, never the mathematics.

    ``auto`` is replaced by rule (``evidence/plan.py``), or by preflight, which compiles the sensible plans.
    """

    layout: str = knob(
        "auto",
        "Parameters whole on each device; sharded and gathered; or sharded with the MLP's rows gathered instead",
        choices=("auto", "replicated", "fsdp", "tensor"),
    )
    remat: str = knob(
        "auto",
        "What the backward pass computes again: nothing, attention scores, most of the MLP too, or each whole layer",
        choices=("auto", "none", "attention", "mlp", "layer"),
    )
    layers: str = knob(
        "auto",
        "Every layer compiled (faster), or one looped over (compiles sooner)",
        choices=("auto", "unrolled", "scanned"),
    )
    loss_chunk_tokens: int = knob(
        0, "Tokens whose logits exist at once on one device; 0: by rule", minimum=0, unit="tokens"
    )


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    every_steps: int = knob(
        0, "Evaluate every so many steps, and at the end; 0: only at the end", minimum=0, unit="steps"
    )
    max_new_tokens: int = knob(64, "Longest answer generated (greedy)", minimum=1, maximum=65_536, unit="tokens")
    batch_size: int = knob(64, "Rows evaluated at once", minimum=1, maximum=65_536, unit="rows")
    samples: int = knob(3, "Generations shown at each evaluation", minimum=0, maximum=1_000)


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    every_steps: int = knob(
        0, "Save every so many steps, besides start and end; 0: only those two", minimum=0, unit="steps"
    )
    keep: int = knob(3, "Newest checkpoints kept, besides the first", minimum=1, maximum=10_000)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The whole ask: a config file's content with every default filled in."""

    name: str = knob(help="Short name: letters, digits, '.', '_' and '-'")
    model: ModelSpec
    data: DataSpec
    training: TrainingSpec
    optimizer: OptimizerSpec
    description: str = knob("", "One sentence for people", format="multiline")
    expected_duration: str = knob("", "How long it takes, on which machine")
    expected_result: str = knob("", "What a good run ends with")
    weights: WeightsSpec = field(default_factory=WeightsSpec)
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    lora: LoraSpec = field(default_factory=LoraSpec)
    plan: PlanSpec = field(default_factory=PlanSpec)
    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec)
    checkpoints: CheckpointSpec = field(default_factory=CheckpointSpec)
    device: str = knob(
        "auto", "Where to run: exactly this kind, or the best there is", choices=("auto", "cpu", "gpu", "tpu")
    )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Override:
    """One value that was asked for instead of the config's own."""

    key: str
    declared: Scalar
    effective: Scalar


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
REVISION = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
HANDLE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*/){4}[0-9]+")


def parse(document: object) -> RunSpec:
    """The spec in ``document``, defaults filled in. Raises SpecError naming every broken field at once."""
    problems: list[Problem] = []
    spec: RunSpec = _parse(RunSpec, document, "", problems)
    if not problems:
        problems.extend(_coherence(spec))
    if problems:
        raise SpecError(problems)
    return spec


def resolve(document: object, overrides: Mapping[str, object]) -> tuple[RunSpec, tuple[Override, ...]]:
    """``document`` with dotted ``overrides`` laid over it, and what each of them changed.

    ``resolve(d, {"training.steps": 50})``. Values are typed as JSON is; see ``typed`` for text from a command line.
    Raises SpecError for an unknown key, for a wrong value, and for whatever ``parse`` refuses.
    """
    problems = [
        Problem(key, f"{key}: there is no such setting; {_nearest(key)}") for key in overrides if key not in FIELDS
    ]
    if problems:
        raise SpecError(problems)
    if not isinstance(document, dict):
        return parse(document), ()
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for key, value in overrides.items():
        *section, name = key.split(".")
        target = merged
        for part in section:
            inner = target.setdefault(part, {})
            if not isinstance(inner, dict):
                break  # parse() names the section that is not a section
            target = inner
        target[name] = value
    spec = parse(merged)
    changed = []
    for key in sorted(overrides):
        declared, effective = _lookup(document, key), _lookup(spec.as_dict(), key)
        if declared != effective or type(declared) is not type(effective):
            changed.append(Override(key, declared, effective))
    return spec, tuple(changed)


def typed(key: str, text: str) -> Scalar:
    """``text`` from a command line as the type of the setting ``key``. Raises SpecError."""
    if key not in FIELDS:
        raise SpecError([Problem(key, f"{key}: there is no such setting; {_nearest(key)}")])
    kind = str(FIELDS[key].type)
    try:
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        readers: dict[str, Callable[[str], Scalar]] = {"int": int, "float": float, "str": str}
        return readers[kind](text)
    except (ValueError, KeyError):
        raise SpecError([Problem(key, f"{key} must be {_EXPECTED[kind]}, got {text!r}")]) from None


def parameter_count(model: ModelSpec) -> int:
    """Parameters of the decoder with tied embeddings, norms included; Gemma 2B has 2,506,172,416."""
    attention = model.hidden_size * model.head_dim * (2 * model.num_attention_heads + 2 * model.num_key_value_heads)
    layer = attention + 3 * model.hidden_size * model.intermediate_size + 2 * model.hidden_size
    return model.vocab_size * model.hidden_size + model.num_hidden_layers * layer + model.hidden_size


def adapter_count(model: ModelSpec, lora: LoraSpec) -> int:
    """Parameters of the adapters; 0 without LoRA."""
    width, inner = model.hidden_size, model.intermediate_size
    heads, key_heads = model.num_attention_heads * model.head_dim, model.num_key_value_heads * model.head_dim
    shapes = {"query": (width, heads), "key": (width, key_heads), "value": (width, key_heads), "output": (heads, width),
              "gate": (width, inner), "up": (width, inner), "down": (inner, width)}  # fmt: skip
    sides = sum(rows + columns for name, (rows, columns) in shapes.items() if lora.adapts(name))
    return model.num_hidden_layers * lora.rank * sides


def gpu_refusal(parameters: int) -> str:
    """The sentence with which a model too large for a GPU is refused."""
    return (
        f"device gpu is refused: the model has {parameters:,} parameters, and models of {GPU_PARAMETER_LIMIT:,} or "
        "more never train on a GPU; use device tpu, or a smaller model"
    )


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a config file; titles, help, units and limits included. Draws the form."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **_schema(RunSpec)}


# How one value is checked.

_EXPECTED = {"bool": "true or false", "int": "an integer", "float": "a number", "str": "text"}


def _parse(cls: Any, document: object, where: str, problems: list[Problem]) -> Any:
    label = where or "the config"
    if not isinstance(document, dict):
        problems.append(Problem(where, f"{label} must be a mapping of settings, got {_show(document)}"))
        return None
    hints = get_type_hints(cls)
    known = {item.name: item for item in fields(cls)}
    for key in document:
        if key not in known:
            path = _join(where, str(key))
            problems.append(Problem(path, f"{path}: there is no such setting; {_nearest(path)}"))
    values: dict[str, Any] = {}
    for name, item in known.items():
        path = _join(where, name)
        if name in document:
            kind = hints[name]
            values[name] = (
                _parse(kind, document[name], path, problems)
                if is_dataclass(kind)
                else _check(item, document[name], path, problems)
            )
        elif item.default is MISSING and item.default_factory is MISSING:
            problems.append(Problem(path, f"{path} is missing; {_expected(item)}"))
    return None if problems else cls(**values)


def _check(item: Field[Any], value: Any, path: str, problems: list[Problem]) -> Any:
    kind = str(item.type)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER:
        value = float(value)
    if type(value).__name__ != kind or (isinstance(value, float) and not math.isfinite(value)):
        problems.append(Problem(path, f"{path} must be {_EXPECTED[kind]}, got {_show(value)}{_hint(kind, value)}"))
        return None
    limits = item.metadata
    bad = (
        (limits["choices"] and value not in limits["choices"])
        or (limits["minimum"] is not None and value < limits["minimum"])
        or (limits["maximum"] is not None and value > limits["maximum"])
        or (limits["above"] is not None and value <= limits["above"])
        or (limits["below"] is not None and value >= limits["below"])
        or (kind == "int" and abs(value) > LARGEST_INTEGER)
    )
    if bad:
        problems.append(Problem(path, f"{path} must be {_range(item)}, got {_show(value)}"))
    elif isinstance(value, str) and (problem := _unprintable(value)):
        problems.append(Problem(path, f"{path} {problem}"))
    return value


def _coherence(spec: RunSpec) -> Iterator[Problem]:
    """Limits that tie two fields together."""
    model, training, data = spec.model, spec.training, spec.data
    if not NAME.fullmatch(spec.name):
        yield Problem(
            "name",
            "name must be 1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit, "
            f"got {_show(spec.name)}",
        )
    if model.num_attention_heads % model.num_key_value_heads:
        yield Problem(
            "model.num_key_value_heads",
            f"model.num_key_value_heads must divide model.num_attention_heads ({model.num_attention_heads}), "
            f"got {model.num_key_value_heads}",
        )
    if model.head_dim % 2:
        yield Problem("model.head_dim", f"model.head_dim must be even, got {model.head_dim}")
    if training.sequence_length > model.max_position_embeddings:
        yield Problem(
            "training.sequence_length",
            f"training.sequence_length must be at most model.max_position_embeddings "
            f"({model.max_position_embeddings}), got {training.sequence_length}",
        )
    if training.batch_size % training.gradient_accumulation:
        yield Problem(
            "training.gradient_accumulation",
            f"training.gradient_accumulation must divide training.batch_size ({training.batch_size}), "
            f"got {training.gradient_accumulation}",
        )
    if spec.optimizer.warmup_steps >= training.steps:
        yield Problem(
            "optimizer.warmup_steps",
            f"optimizer.warmup_steps must be less than training.steps ({training.steps}), "
            f"got {spec.optimizer.warmup_steps}",
        )
    if (
        data.template.count("{prompt}") != 1
        or data.template.count("{answer}") != 1
        or not data.template.endswith("{answer}")
    ):
        yield Problem(
            "data.template",
            f"data.template must hold {{prompt}} once and end with {{answer}}, got {_show(data.template)}",
        )
    for key in ("train_path", "prompt_field", "answer_field"):
        if not getattr(data, key).strip():
            yield Problem(f"data.{key}", f"data.{key} must not be empty")
    if data.prompt_field == data.answer_field:
        yield Problem(
            "data.answer_field",
            f"data.answer_field must differ from data.prompt_field, got {_show(data.answer_field)} for both",
        )
    if spec.weights.source == "folder" and not spec.weights.path:
        yield Problem("weights.path", "weights.path must name a folder when weights.source is folder")
    if spec.weights.source == "hub":
        if not REPOSITORY.fullmatch(spec.weights.repository):
            yield Problem(
                "weights.repository",
                "weights.repository must be owner/name when weights.source is hub, "
                f"got {_show(spec.weights.repository)}",
            )
        if not REVISION.fullmatch(spec.weights.revision):
            yield Problem(
                "weights.revision",
                "weights.revision must be a commit of 40 hex digits when weights.source "
                f"is hub, got {_show(spec.weights.revision)}",
            )
    if spec.weights.source == "kaggle" and not HANDLE.fullmatch(spec.weights.handle):
        yield Problem(
            "weights.handle",
            "weights.handle must be owner/model/framework/variation/version when weights.source is kaggle, as in "
            f"google/gemma/transformers/2b/2, got {_show(spec.weights.handle)}",
        )
    if spec.tokenizer.kind == "huggingface" and not spec.tokenizer.path and spec.weights.source == "random":
        yield Problem("tokenizer.path", "tokenizer.path must name a folder when tokenizer.kind is huggingface")
    parameters = parameter_count(model)
    if spec.device == "gpu" and parameters >= GPU_PARAMETER_LIMIT:
        yield Problem("device", gpu_refusal(parameters))


def _unprintable(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "must be text, got a lone surrogate"
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in text):
        return f"must not hold control characters, got {text!r}"
    if len(text) > 10_000:
        return f"must be at most 10,000 characters, got {len(text):,}"
    return ""


# How it is said.


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"the text {value[:80]!r}"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return str(value)[:80]


def _hint(kind: str, value: object) -> str:
    if kind == "float" and isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value):
        mantissa, exponent = re.split("[eE]", value)
        return f" (YAML reads that as text; write {mantissa}.0e{exponent})"
    return ""


def _range(item: Field[Any]) -> str:
    limits = item.metadata
    if limits["choices"]:
        return "one of " + ", ".join(limits["choices"])
    words = []
    if limits["minimum"] is not None:
        words.append(f"at least {limits['minimum']:,}")
    if limits["above"] is not None:
        words.append(f"greater than {limits['above']:,}")
    if limits["maximum"] is not None:
        words.append(f"at most {limits['maximum']:,}")
    if limits["below"] is not None:
        words.append(f"less than {limits['below']:,}")
    return " and ".join(words) or _EXPECTED[str(item.type)]


def _expected(item: Field[Any]) -> str:
    if str(item.type) in _EXPECTED:
        return f"expected {_EXPECTED[str(item.type)]}" + (
            f" ({item.metadata['help']})" if item.metadata["help"] else ""
        )
    return "expected a mapping of settings"


def _nearest(key: str) -> str:
    from difflib import get_close_matches

    sections = {name.rpartition(".")[0] for name in FIELDS if "." in name} - {key.rpartition(".")[0]}
    names = [*FIELDS, *sorted(sections)]
    last = {name.rpartition(".")[2]: name for name in names}
    match = get_close_matches(key, names, 1, 0.75) or [
        last[name] for name in get_close_matches(key.rpartition(".")[2], last, 1, 0.75)
    ]
    return f"did you mean {match[0]}?" if match else "see the config's JSON Schema for those there are"


def _lookup(document: Mapping[str, Any], key: str) -> Scalar:
    """The value at a dotted key; where the config says nothing, its default."""
    value: Any = document
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return DEFAULTS.get(key, "")
        value = value[part]
    return value  # type: ignore[no-any-return]


def _leaves(cls: Any, where: str = "") -> Iterator[tuple[str, Field[Any]]]:
    hints = get_type_hints(cls)
    for item in fields(cls):
        path = _join(where, item.name)
        if is_dataclass(hints[item.name]):
            yield from _leaves(hints[item.name], path)
        else:
            yield path, item


def _schema(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    properties = {}
    for item in fields(cls):
        kind = hints[item.name]
        properties[item.name] = _schema(kind) if is_dataclass(kind) else _leaf_schema(item)
    required = [item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING]
    document: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        document["required"] = required
    return document


def _leaf_schema(item: Field[Any]) -> dict[str, Any]:
    kind, limits = str(item.type), item.metadata
    words = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
    leaf: dict[str, Any] = {"type": words[kind], "title": item.name.replace("_", " ").capitalize()}
    if item.default is not MISSING:
        leaf["default"] = item.default
    names = {
        "help": "description",
        "unit": "x-unit",
        "format": "x-format",
        "minimum": "minimum",
        "maximum": "maximum",
        "above": "exclusiveMinimum",
        "below": "exclusiveMaximum",
    }
    for name, key in names.items():
        if limits[name] not in (None, ""):
            leaf[key] = limits[name]
    if limits["choices"]:
        leaf["enum"] = list(limits["choices"])
    return leaf


FIELDS: dict[str, Field[Any]] = dict(_leaves(RunSpec))
"""Every setting by its dotted key."""

DEFAULTS: dict[str, Scalar] = {key: item.default for key, item in FIELDS.items() if item.default is not MISSING}
