"""Drawing graphs: `sketch` says what is drawn, `layout` where it goes, and `boxes`, `mermaid` and `svg` draw it."""
