"""Tables as the docs hold them."""


def markdown(headers, rows, text=1):
    """Return a table in Markdown, all columns but the first `text` ones aligned to the right."""
    rule = ["---"] * text + ["---:"] * (len(headers) - text)
    lines = [f"| {' | '.join(headers)} |", f"|{'|'.join(rule)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])
