"""Chat templates between parsing and compiling: every operation of the tree becomes one that is counted.

jinja2 compiles loops, comparisons, slices, printing and joining straight to Python. Here each becomes a call of one of
the environment's own filters, whose names no template can write.
"""

from __future__ import annotations

from typing import Final, cast

from jinja2 import TemplateSyntaxError, nodes

from turnwise.inference.text.template.meter import INTEGER_BITS_MAX

LOOP: Final = "turnwise loop"
PRINT: Final = "turnwise print"
CONCAT: Final = "turnwise concat"
COMPARE: Final = "turnwise compare"
SLICE: Final = "turnwise slice"
KEY: Final = "turnwise key"


def rewrite(node: nodes.Node) -> None:
    """Rewrite everything below `node`. Raises TemplateSyntaxError for what is not allowed."""
    if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
        raise TemplateSyntaxError("a chat template cannot load other templates", node.lineno)
    if isinstance(node, nodes.Const) and isinstance(node.value, int) and node.value.bit_length() > INTEGER_BITS_MAX:
        raise TemplateSyntaxError(f"a whole number of more than {INTEGER_BITS_MAX} bits", node.lineno)
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateSyntaxError("recursive loops are not supported", node.lineno)
    for child in node.iter_child_nodes():
        rewrite(child)
    if isinstance(node, nodes.For):
        node.iter = _filter(cast("nodes.Expr", node.iter), LOOP)
    elif isinstance(node, nodes.Output):
        node.nodes = [_printed(child) for child in node.nodes]
    elif isinstance(node, nodes.Pair):
        node.key = _filter(node.key, KEY)
    for field, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, field, [_replaced(item) for item in value])
        else:
            setattr(node, field, _replaced(value))


def _printed(node: nodes.Node) -> nodes.Expr:
    if isinstance(node, nodes.TemplateData):
        return _filter(nodes.Const(node.data, lineno=node.lineno), PRINT)
    return _filter(cast("nodes.Expr", _replaced(node)), PRINT)


def _replaced(node: object) -> object:
    if isinstance(node, nodes.Concat):
        return _filter(nodes.List(list(node.nodes), lineno=node.lineno), CONCAT)
    if isinstance(node, nodes.Compare):
        arguments: list[nodes.Expr] = []
        for operand in node.ops:
            arguments += [nodes.Const(operand.op, lineno=node.lineno), operand.expr]
        return _filter(node.expr, COMPARE, *arguments)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        part = node.arg
        bounds = [bound or nodes.Const(None, lineno=node.lineno) for bound in (part.start, part.stop, part.step)]
        return _filter(node.node, SLICE, *bounds)
    return node


def _filter(node: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)
