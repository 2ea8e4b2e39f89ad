"""Expressions over the context: `params.region == 'eu'`, `steps.list.output.files`, `item`.

They are written as in a definition's templates (docs/templates.md), without the braces: comparisons, `and`,
`or`, `not`, `in`, paths and literals.  Nothing is ever evaluated as Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.author.templates import Template, is_template

if TYPE_CHECKING:
    from ripresa.author.steps.context import WorkflowContext


def parsed(expression: str, where: str) -> Template:
    """The expression, read.  Raises TemplateSyntax or TemplateForbidden naming `where`."""
    return Template.parse(expression if is_template(expression) else f"{{{{ {expression} }}}}", where)


def variables(context: WorkflowContext) -> dict[str, Any]:
    """What an expression may name."""
    names: dict[str, Any] = {
        "params": context.params,
        "steps": {name: {"output": output} for name, output in context.outputs.items()},
        "run_id": context.run_id,
    }
    if context.index is not None:
        names |= {"item": context.item, "index": context.index}
    return names


def value_of(expression: str, context: WorkflowContext, where: str) -> Any:
    """The value of the expression.  Raises TemplateUndefined if it names what is not there."""
    return parsed(expression, where).render(variables(context))


def holds(expression: str, context: WorkflowContext, where: str) -> bool:
    """Whether the condition is true; the texts `true` and `false` mean what they say."""
    return parsed(expression, where).holds(variables(context))
