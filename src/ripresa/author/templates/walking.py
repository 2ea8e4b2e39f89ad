"""Walking: the syntax tree as functions of the variables.

The tree is walked once, when a template is read: every kind of node in the table below becomes a small function, and
every other kind is refused with its name and place.  A function takes the variables and returns a value, or `Missing`
where something is undefined: `default` looks at that, everyone else makes an error of it.

What is called by the functions is only what stands in this package: no attribute of a value is ever read, no method of
it called but those of dicts, lists and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from jinja2 import nodes

from ripresa.author.templates.comparing import COMPARISONS, incomparable
from ripresa.author.templates.filters import FILTERS, Empty, Filter
from ripresa.author.templates.names import did_you_mean
from ripresa.author.templates.paths import (
    Evaluate,
    Link,
    Missing,
    Variables,
    followed,
    require_open,
    require_parts,
    require_variable,
    variable_of,
)
from ripresa.author.templates.problem import Problem
from ripresa.author.templates.refused import refusal
from ripresa.author.templates.shape import key_of, number_of, require_constants, start_of
from ripresa.author.templates.values import concatenated, text_of
from ripresa.contracts.errors import TemplateForbidden

Step = Callable[[Any, Variables], Any]
"""A filter: the value before it and the variables, which its arguments may need."""

DEPTH_MAX = 50
_INSTEAD = "default_value"
"""The argument of `default` that may be undefined itself, if another `default` follows."""


class Walk:
    """One template's walk; `references` collects `(path, offset, optional)` of all that it reads."""

    def __init__(self) -> None:
        self.references: list[tuple[tuple[str, ...], int, bool]] = []
        self._depth = 0
        self._optional = False

    def value(self, node: nodes.Node) -> Evaluate:
        """The node as a function that raises Problem where something is undefined."""
        evaluate = self.maybe(node)
        if type(node) not in _MAY_MISS:
            return evaluate

        def present(variables: Variables) -> Any:
            found = evaluate(variables)
            if type(found) is Missing:
                raise found.raised()
            return found

        return present

    def maybe(self, node: nodes.Node, *, optional: bool = False) -> Evaluate:
        """The node as a function that returns `Missing` where it is undefined.  Raises Problem if it is refused."""
        make = _WALKS.get(type(node))
        if make is None:
            raise refusal(node)
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Problem(
                TemplateForbidden,
                f"an expression is nested more than {DEPTH_MAX} deep",
                remedy="compute it in a step, and use its output",
                what="nesting",
                offset=node.lineno,
            )
        self._optional = optional
        made: Evaluate = make(self, node)
        self._depth -= 1
        return made

    # -- what it reads ---------------------------------------------------------------------

    def name(self, node: nodes.Name) -> Evaluate:
        return self._path(node, node, [], optional=self._optional)

    def part(self, node: nodes.Getattr | nodes.Getitem) -> Evaluate:
        optional = self._optional
        links: list[Link] = []
        base: nodes.Node = node
        while isinstance(base, nodes.Getattr | nodes.Getitem):
            links.append(self._link(base))
            base = base.node
        return self._path(node, base, links[::-1], optional=optional)

    def _link(self, node: nodes.Getattr | nodes.Getitem) -> Link:
        if isinstance(node, nodes.Getattr):
            require_open(node.attr, node.lineno)
            return node.attr, None, f".{node.attr}", node.lineno
        constant = number_of(node.arg)
        if constant is None and isinstance(node.arg, nodes.Const):
            constant = node.arg.value
        if constant is None:
            return None, self.value(node.arg), "[…]", node.lineno
        require_open(constant, node.lineno)
        return constant, None, f"[{constant!r}]", node.lineno

    def _path(self, node: nodes.Node, base: nodes.Node, links: list[Link], *, optional: bool) -> Evaluate:
        if not isinstance(base, nodes.Name):
            return followed(self.maybe(base, optional=optional), "…", links)
        name = base.name
        require_variable(name, base.lineno)
        if links:
            require_parts(name, links[0], base.lineno)
        path = [name]
        for key, dynamic, _, _ in links:
            if dynamic is not None or not isinstance(key, str):
                break
            path.append(key)
        self.references.append((tuple(path), base.lineno, optional))
        return followed(variable_of(name, base.lineno), name, links)

    # -- constants -------------------------------------------------------------------------

    def constant(self, node: nodes.Const | nodes.TemplateData) -> Evaluate:
        value = node.data if isinstance(node, nodes.TemplateData) else node.value
        return lambda _: value

    def number(self, node: nodes.Neg | nodes.Pos) -> Evaluate:
        value = number_of(node)
        if value is None:
            raise refusal(node)
        return lambda _: value

    def display(self, node: nodes.List | nodes.Tuple | nodes.Dict) -> Evaluate:
        """A list or object of constants; made anew each time, for it may end up in the caller's hands."""
        require_constants(node)
        if isinstance(node, nodes.Dict):
            pairs = [(key_of(pair.key), self.value(pair.value)) for pair in node.items]
            return lambda variables: {key: item(variables) for key, item in pairs}
        items = [self.value(item) for item in node.items]
        return lambda variables: [item(variables) for item in items]

    # -- operators -------------------------------------------------------------------------

    def both(self, node: nodes.And | nodes.Or) -> Evaluate:
        """`and` and `or`, a whole chain at once: the last operand looked at is the value, as in Jinja2."""
        kind = type(node)
        operands: list[nodes.Node] = []
        left: nodes.Node = node
        while isinstance(left, kind):
            operands.append(left.right)
            left = left.left
        first, *others = [self.value(operand) for operand in (left, *reversed(operands))]
        ends_on = kind is nodes.Or

        def chain(variables: Variables) -> Any:
            value = first(variables)
            for other in others:
                if bool(value) is ends_on:
                    return value
                value = other(variables)
            return value

        return chain

    def negation(self, node: nodes.Not) -> Evaluate:
        operand = self.value(node.node)
        return lambda variables: not operand(variables)

    def choice(self, node: nodes.CondExpr) -> Evaluate:
        if node.expr2 is None:
            raise Problem(
                TemplateForbidden,
                "`a if condition` has no `else`",
                remedy="write `a if condition else b`",
                what="if without else",
                offset=node.lineno,
            )
        optional = self._optional
        test = self.value(node.test)
        yes, no = self.maybe(node.expr1, optional=optional), self.maybe(node.expr2, optional=optional)
        return lambda variables: yes(variables) if test(variables) else no(variables)

    def concatenation(self, node: nodes.Concat) -> Evaluate:
        operands = [(self.value(operand), start_of(operand)) for operand in node.nodes]
        return lambda variables: concatenated(texts(operands, variables))

    def comparison(self, node: nodes.Compare) -> Evaluate:
        first = self.value(node.expr)
        steps = [(operand.op, COMPARISONS[operand.op], self.value(operand.expr)) for operand in node.ops]
        offset = start_of(node.expr)

        def compare(variables: Variables) -> bool:
            left = first(variables)
            for sign, holds, other in steps:
                right = other(variables)
                try:
                    if not holds(left, right):
                        return False
                except (TypeError, RecursionError):
                    raise incomparable(sign, left, right, offset) from None
                left = right
            return True

        return compare

    # -- filters ---------------------------------------------------------------------------

    def filtered(self, node: nodes.Filter) -> Evaluate:
        """A whole chain of filters at once, so that its length is not depth."""
        chain: list[nodes.Filter] = []
        source: nodes.Node | None = node
        while isinstance(source, nodes.Filter):
            chain.append(source)
            source = source.node
        if source is None:
            raise refusal(node)
        evaluate = self.maybe(source, optional=chain[-1].name == "default")
        followers = [*reversed(chain[:-1]), None]
        steps = [
            self._filter(one, covered=following is not None and following.name == "default")
            for one, following in zip(reversed(chain), followers, strict=True)
        ]

        def pipe(variables: Variables) -> Any:
            value = evaluate(variables)
            for step in steps:
                value = step(value, variables)
            return value

        return pipe

    def _filter(self, node: nodes.Filter, *, covered: bool) -> Step:
        """One filter; `covered` if a `default` stands right behind it."""
        name, offset = node.name, node.lineno
        known = FILTERS.get(name)
        if known is None:
            raise Problem(
                TemplateForbidden,
                f"there is no filter `{name}`",
                remedy=did_you_mean(name, FILTERS),
                what=name,
                offset=offset,
            )
        named = _named_arguments(node, known)
        values = dict(zip(known.parameters[known.required :], known.defaults, strict=True))
        arguments = []
        for one in known.parameters:
            if one not in named:
                arguments.append(_always(values[one]))
            elif one == _INSTEAD and name == "default":
                arguments.append(self.maybe(named[one], optional=covered))
            else:
                arguments.append(self.value(named[one]))
        if name == "default":
            return _default(*arguments)
        return _applied(known.apply, arguments, name, offset)


_WALKS: dict[type[nodes.Node], Callable[[Walk, Any], Evaluate]] = {
    nodes.Name: Walk.name,
    nodes.Getattr: Walk.part,
    nodes.Getitem: Walk.part,
    nodes.Const: Walk.constant,
    nodes.TemplateData: Walk.constant,
    nodes.Neg: Walk.number,
    nodes.Pos: Walk.number,
    nodes.List: Walk.display,
    nodes.Tuple: Walk.display,
    nodes.Dict: Walk.display,
    nodes.And: Walk.both,
    nodes.Or: Walk.both,
    nodes.Not: Walk.negation,
    nodes.CondExpr: Walk.choice,
    nodes.Concat: Walk.concatenation,
    nodes.Compare: Walk.comparison,
    nodes.Filter: Walk.filtered,
}
"""All that a template may be made of."""

_MAY_MISS = (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.CondExpr, nodes.Filter)


def texts(operands: list[tuple[Evaluate, int]], variables: Variables) -> Iterator[str]:
    """The texts of the operands, `(function, offset)`, one by one.  Raises Problem with a place."""
    for evaluate, offset in operands:
        try:
            yield text_of(evaluate(variables))
        except Problem as problem:
            _placed(problem, offset)


def _placed(problem: Problem, offset: int) -> NoReturn:
    """Raise the problem, with a place if it has none."""
    if problem.offset is None:
        problem.offset = offset
    raise problem


def _named_arguments(node: nodes.Filter, known: Filter) -> dict[str, nodes.Expr]:
    """The filter's arguments by parameter.  Raises Problem unless they fit the filter's parameters."""
    named: dict[str, nodes.Expr] = dict(zip(known.parameters, node.args, strict=False))
    extra = len(node.args) > len(known.parameters) or node.dyn_args is not None or node.dyn_kwargs is not None
    for keyword in node.kwargs:
        key = str(keyword.key)
        extra = extra or key in named or key not in known.parameters
        named[key] = keyword.value
    lacking = [one for one in known.parameters[: known.required] if one not in named]
    if extra or lacking:
        raise Problem(
            TemplateForbidden,
            f"the arguments of `{node.name}` do not fit it",
            remedy=f"write `{known.usage(node.name)}`",
            what=node.name,
            offset=node.lineno,
        )
    if known.check is not None:
        _check_constants(known, named, node)
    return named


def _check_constants(known: Filter, named: Mapping[str, nodes.Expr], node: nodes.Filter) -> None:
    """Check what the filter can say of constant arguments now, before any run."""
    constants = [one.value for one in named.values() if isinstance(one, nodes.Const)]
    if known.check is None or not constants or len(constants) < len(named):
        return
    try:
        known.check(*constants)
    except Problem as problem:
        raise Problem(
            TemplateForbidden,
            problem.problem,
            remedy=problem.remedy,
            what=problem.what or node.name,
            offset=node.lineno,
        ) from None


def _always(value: Any) -> Evaluate:
    return lambda _: value


def _default(instead: Evaluate, also_false: Evaluate) -> Step:
    def default(value: Any, variables: Variables) -> Any:
        if type(value) is Missing or (not value and also_false(variables)):
            return instead(variables)
        return value

    return default


def _applied(apply: Callable[..., Any], arguments: list[Evaluate], name: str, offset: int) -> Step:
    def filtered(value: Any, variables: Variables) -> Any:
        if type(value) is Missing:
            raise value.raised()
        try:
            found = apply(value, *[argument(variables) for argument in arguments])
        except Problem as problem:
            _placed(problem, offset)
        if found is Empty:
            return Missing(name, f"`{name}` of an empty value", offset, remedy="write `| default(…)` behind it")
        return found

    return filtered
