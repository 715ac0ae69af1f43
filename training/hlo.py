"""Read a compiled TPU program: cycles and received bytes, each loop body times its trip count.

The text is what ``compiled.as_text()`` prints. XLA:TPU writes ``estimated_cycles`` on each instruction it emits code
for; a loop's body stands once in the text, so it counts as often as the loop turns. Collectives carry no cycles.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

ELEMENT_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "c64": 8, "c128": 16}
COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")


class UnreadableProgram(ValueError):
    """The text is not a program whose cost can be told; the message names the computation or loop."""


@dataclass(frozen=True)
class Instruction:
    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    rest: str

    def attribute(self, name: str) -> str:
        """The computation named by an attribute (``body=%region``), "" if there is none."""
        found = re.search(rf"\b{name}=%?([\w.-]+)", self.rest)
        return found[1] if found else ""

    @property
    def cycles(self) -> int:
        found = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
        return int(found[1]) if found else 0

    @property
    def operation(self) -> str:
        """Where it comes from in the traced function: jax's name of the operation, "" when the compiler made it."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""


@dataclass(frozen=True)
class Program:
    """Computations by name, their instructions in order; ``entry`` is the one that runs."""

    entry: str
    computations: dict[str, list[Instruction]]


@dataclass
class Cost:
    """``cycles`` of one device; ``received`` bytes of one device and how often, by kind of collective."""

    cycles: int = 0
    received: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def received_bytes(self) -> float:
        return sum(self.received.values())


@dataclass(frozen=True)
class Line:
    """One instruction and how often it runs in a step."""

    instruction: Instruction
    times: int
    computation: str


def parse(text: str) -> Program:
    """The program in ``text``. Raises UnreadableProgram."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line[:1] not in (" ", "}", "") and line.rstrip().endswith("{"):
            header = re.match(r"(ENTRY )?%?([\w.-]+)", line)
            if header is None or line.startswith("HloModule"):
                continue
            current = computations.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and " = " in line and (instruction := _instruction(line)):
            current.append(instruction)
    if not entry:
        raise UnreadableProgram("the text has no ENTRY computation")
    return Program(entry, computations)


def cost(program: Program, devices: int) -> Cost:
    """What one device spends and receives in one run of the program over ``devices``. Raises UnreadableProgram."""
    total = Cost()
    for line in lines(program):
        total.cycles += line.instruction.cycles * line.times
        if kind := collective(line):
            total.received[kind] += received_bytes(program, line, devices) * line.times
            total.counts[kind] += line.times
    return total


def collective(line: Line) -> str:
    """The kind of collective that an instruction is, "" for none. XLA:TPU writes a reduce-scatter as a fusion of this
    name around an all-reduce and a slice of it."""
    kind = line.instruction.opcode.removesuffix("-start")
    if kind == "all-reduce" and line.computation.startswith("all-reduce-scatter"):
        return "reduce-scatter"
    return kind if kind in COLLECTIVES else ""


def received_bytes(program: Program, line: Line, devices: int) -> float:
    """Bytes one device receives in one collective, on a ring: each shard but its own once (all-reduce: twice)."""
    kind, group = collective(line), _group_size(line.instruction.rest, devices)
    types = {item.name: item.type for item in program.computations[line.computation]}
    sent = sum(size_bytes(types[name]) for name in line.instruction.operands if name in types)
    share = {"collective-permute": 1.0, "all-gather": group - 1, "all-reduce": 2 * (group - 1) / group}
    return sent * share.get(kind, (group - 1) / group)


def lines(program: Program) -> Iterator[Line]:
    """Every instruction that runs, with how often. The insides of a fusion are named for their collectives alone:
    its cycles stand on the fusion. Raises UnreadableProgram for a loop whose trip count cannot be read."""
    yield from _lines(program, program.entry, 1)


def trip_count(program: Program, computation: str, loop: Instruction) -> int:
    """How often the body of a ``while`` instruction runs. Raises UnreadableProgram."""
    if known := re.search(r'known_trip_count[^}]*?"n":"?(\d+)', loop.rest):
        return int(known[1])
    initial = _find(program, computation, loop.operands[0])
    direction, sides = _comparison(program, loop.attribute("condition"))
    start = stride = bound = None
    for side in sides:
        if isinstance(side, Constant):
            bound = side.value
        elif step := _stride(program, loop.attribute("body"), side):
            start, stride = _constant(program, computation, initial.operands[side]), step
        else:  # the loop carries its bound along unchanged
            bound = _constant(program, computation, initial.operands[side])
    if start is None or stride is None or bound is None:
        raise UnreadableProgram(f"the trip count of the loop {loop.name} cannot be read")
    return max(0, math.ceil((bound - start + (direction in ("LE", "GE"))) / stride))


def size_bytes(type_: str) -> float:
    """Bytes of an array type, or of all arrays of a tuple type: ``bf16[8,128]{1,0}`` has 2,048."""
    total = 0.0
    for element, shape in re.findall(r"\b([a-z]+\d*\w*)\[([\d,]*)\]", type_):
        width = ELEMENT_BYTES.get(element) or (int(digits[0]) / 8 if (digits := re.findall(r"\d+", element)) else 0)
        total += width * math.prod(int(size) for size in shape.split(",") if size)
    return total


def _lines(program: Program, name: str, times: int) -> Iterator[Line]:
    for instruction in _computation(program, name):
        opcode = instruction.opcode
        yield Line(instruction, times, name)
        if opcode == "while":
            count = trip_count(program, name, instruction)
            yield from _lines(program, instruction.attribute("body"), times * count)
            yield from _lines(program, instruction.attribute("condition"), times * (count + 1))
        elif opcode == "conditional":
            branches = re.search(r"branch_computations=\{([^}]*)\}", instruction.rest)
            names = (
                branches[1]
                if branches
                else " ".join(instruction.attribute(f"{word}_computation") for word in ("true", "false"))
            )
            choices = [list(_lines(program, branch, times)) for branch in re.findall(r"[\w.-]+", names)]
            yield from max(choices, key=lambda found: sum(line.instruction.cycles * line.times for line in found))
        elif opcode == "call":
            yield from _lines(program, instruction.attribute("to_apply"), times)
        elif opcode in ("fusion", "async-start") and (inner := instruction.attribute("calls")):
            yield from _fused_collectives(program, inner, times)


def _fused_collectives(program: Program, name: str, times: int) -> Iterator[Line]:
    """Those inside a fusion. One that goes on beside several fusions stands in each; it counts where it begins."""
    starts = any('"AsyncCollectiveStart"' in item.rest for item in _computation(program, name))
    for line in _lines(program, name, times):
        if collective(line) and (starts or "async_collective_fusion_config" not in line.instruction.rest):
            yield line


def _group_size(rest: str, devices: int) -> int:
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(found[1])
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", found[2])
        return math.prod(int(part or sizes[axis]) for axis, part in axes)
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return found[1].count(",") + 1
    return devices


@dataclass(frozen=True)
class Constant:
    value: int


def _comparison(program: Program, condition: str) -> tuple[str, list[Constant | int]]:
    """What ends a loop: the comparison's direction, and its sides as constants or places in the loop's tuple."""
    root, scope = _computation(program, condition)[-1], condition
    outer: dict[str, str] = {}
    if root.opcode == "fusion":
        scope = root.attribute("calls")
        inner = _computation(program, scope)
        parameters = {int(item.operands[0]): item.name for item in inner if item.opcode == "parameter"}
        outer = {parameters[number]: operand for number, operand in enumerate(root.operands)}
        root = inner[-1]
    if root.opcode != "compare":
        raise UnreadableProgram(f"the loop condition {condition} is not a comparison but {root.opcode}")
    sides: list[Constant | int] = []
    for name in root.operands:
        place, operand = (condition, outer[name]) if name in outer else (scope, name)
        value = _constant(program, place, operand)
        index = _tuple_index(program, place, operand) if value is None else None
        if value is None and index is None:
            raise UnreadableProgram(
                f"the loop condition {condition} compares {name}, which is neither counter nor bound"
            )
        sides.append(Constant(value) if value is not None else index if index is not None else 0)
    direction = re.search(r"direction=(\w+)", root.rest)
    return direction[1] if direction else "LT", sides


def _stride(program: Program, body: str, index: int) -> int | None:
    """By how much a loop's body moves the number at ``index`` of its tuple; None when it leaves it alone."""
    root = _computation(program, body)[-1]
    if root.opcode != "tuple":
        raise UnreadableProgram(f"the loop body {body} does not end in a tuple but in {root.opcode}")
    step = _through_copies(program, body, root.operands[index])
    names, scope = step.operands, body
    if step.opcode == "fusion":
        scope = step.attribute("calls")
        step = _computation(program, scope)[-1]
        names = (*names, *step.operands)
    if step.opcode != "add":
        return None
    values = [
        _constant(program, place, name)
        for name in names
        for place in (body, scope)
        if any(item.name == name for item in _computation(program, place))
    ]
    return next((value for value in values if value is not None), None)


def _constant(program: Program, computation: str, name: str) -> int | None:
    instruction = _through_copies(program, computation, name)
    number = instruction.operands[0] if instruction.opcode == "constant" and instruction.operands else ""
    return int(number) if re.fullmatch(r"-?\d+", number) else None


def _tuple_index(program: Program, computation: str, name: str) -> int | None:
    instruction = _through_copies(program, computation, name)
    found = re.search(r"index=(\d+)", instruction.rest) if instruction.opcode == "get-tuple-element" else None
    return int(found[1]) if found else None


def _through_copies(program: Program, computation: str, name: str) -> Instruction:
    instruction = _find(program, computation, name)
    while instruction.opcode in ("copy", "bitcast", "convert", "copy-done", "copy-start"):
        instruction = _find(program, computation, instruction.operands[0])
    return instruction


def _find(program: Program, computation: str, name: str) -> Instruction:
    for instruction in _computation(program, computation):
        if instruction.name == name:
            return instruction
    raise UnreadableProgram(f"{computation} has no instruction {name}")


def _computation(program: Program, name: str) -> list[Instruction]:
    if name not in program.computations:
        raise UnreadableProgram(f"there is no computation {name!r}")
    return program.computations[name]


def _instruction(line: str) -> Instruction | None:
    head, _, body = line.partition(" = ")
    name = head.split()[-1].lstrip("%")
    type_, rest = _split_type(body)
    opcode, _, rest = rest.partition("(")
    depth, end = 1, len(rest)
    for place, letter in enumerate(rest):
        depth += (letter in "({[") - (letter in ")}]")
        if not depth:
            end = place
            break
    inside = rest[:end]
    # Operands are names, sometimes with their types; a constant's or parameter's operand is its number.
    operands = tuple(re.findall(r"%([\w.-]+)", inside)) or tuple(
        part.strip() for part in inside.split(",") if part.strip()
    )
    return Instruction(name, type_, opcode.strip(), operands, rest[end:]) if opcode else None


def _split_type(text: str) -> tuple[str, str]:
    if not text.startswith("("):
        type_, _, rest = text.partition(" ")
        return type_, rest
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return text[: index + 1], text[index + 1 :].lstrip()
    return text, ""
