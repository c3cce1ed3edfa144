"""Docstrings begin with a noun phrase or an imperative, lines are filled, names are no bare participles."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8"))
    for folder in ("plastic_envs", "plastic_agents", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}

CLAUSE = re.compile(r"(What|Where|How|Whether|Which|When|Why|Who|Whose|That|If)\b")
SENTENCE_END = re.compile(r"[.:;?!)\"]$")
LAYOUT = re.compile(r"^\s*([*-]|\d+\.|\||>>>|```) |\S {2,}\S")  # lists, tables, code, aligned columns
ENTRY = re.compile(r"\s+[*\w`\".,/ ()|\[\]<>=]+: ")
WIDTH = 88  # a line that leaves room for the next word within this width was not filled

# Hidden states, learned weights and "done" (Gymnasium's end of an episode) are standard terms.
PARTICIPLES = re.compile(
    "asked|begun|broken|built|chosen|drawn|driven|forgotten|found|given|held|kept|known|left|made|met|named|"
    "paid|played|read|scored|seen|sent|shown|spoken|taken|told|tried|used|wanted|written"
)


def docstrings() -> Iterator[tuple[str, list[str]]]:
    """Place and lines of every docstring, the first line indented as the others."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node, clean=False)
                if text:
                    at = node.body[0]
                    yield f"{path}:{at.lineno}", (" " * at.col_offset + '"""' + text).splitlines()


def assigned_names() -> Iterator[tuple[str, str]]:
    """Place and name of every variable, argument, attribute, function and class, where it gets its name."""
    for path, tree in TREES.items():
        sides: set[ast.AST] = set()
        for node in ast.walk(tree):
            match node:
                case ast.Tuple(elts=[ast.Name(id="left") as side, ast.Name(id="right")]):
                    sides.add(side)  # not what is left; the walk comes to it after its tuple
                    continue
                case ast.FunctionDef(name="read" | "_read"):
                    continue  # here it is an imperative
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                    pass
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    pass
                case _:
                    continue
            if node not in sides:
                yield f"{path}:{node.lineno}", name.strip("_")


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def is_broken(line: str, following: str) -> bool:
    """Whether a sentence goes on in the next line although this one has room, or at another indent."""
    if SENTENCE_END.search(line) or LAYOUT.search(line) or LAYOUT.search(following):
        return False
    deeper = indent(following) - indent(line)
    fits = len(line) + 1 + len(following.split()[0]) <= WIDTH
    return fits or not (deeper == 0 or (deeper == 4 and ENTRY.match(line)))


def test_docstrings_begin_with_a_noun_phrase_or_an_imperative():
    firsts = [(place, lines[0].strip().removeprefix('"""')) for place, lines in docstrings()]
    clauses = [f"{place}: {line}" for place, line in firsts if CLAUSE.match(line)]
    assert len(clauses) <= 0.01 * len(firsts), "\n".join(clauses)


def test_docstrings_are_not_broken_in_mid_sentence():
    broken = []
    for place, lines in docstrings():
        for _, block in itertools.groupby(lines, key=lambda line: bool(line.strip())):
            paragraph = list(block)
            if indent(paragraph[0]) == indent(lines[0]):  # an indented one is code or a formula
                pairs = itertools.pairwise(line for line in paragraph if line.strip())
                broken += [f"{place}: {line}" for line, following in pairs if is_broken(line, following)]
    assert not broken, "\n".join(broken)


def test_names_are_not_bare_participles():
    names = list(assigned_names())
    participles = [f"{place}: {name}" for place, name in names if PARTICIPLES.fullmatch(name)]
    assert len(participles) <= 0.003 * len(names), "\n".join(participles)
