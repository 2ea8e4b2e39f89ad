"""Templates: the checked subset of Jinja2 that definitions are written with.

The text is parsed by Jinja2's own lexer and parser and evaluated by our walk over the syntax tree; Jinja2 never renders
anything.  What the subset has is in docs/templates.md; whatever else Jinja2 knows is refused when the text is read,
with its name and place.  Rendering is a pure function of the variables, in one pass: text that came out of a variable
is data and is never parsed.

    reading    text -> Jinja2's tree, positioned and bounded        (loads jinja2, on the first template)
    walking    tree -> functions of the variables
    filters    what may stand behind `|`
    values     texts, truth and the limits that hold while a text is built
    template   `Template` and its use on nested values
"""

from ripresa.author.templates.names import VARIABLES
from ripresa.author.templates.template import Reference, Template, is_template, render_tree, templates_in

__all__ = ["VARIABLES", "Reference", "Template", "is_template", "render_tree", "templates_in"]
