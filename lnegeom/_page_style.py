"""How a page looks: its style, and the head that its parts follow."""

__all__ = ["HEAD", "STYLE"]

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2126; --soft: #5d6771; --line: #dde2e7; --paper: #fff; --tint: #f5f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #9aa5b0; --line: #333b44; --paper: #15191e; --tint: #1d2329; }
}
body { margin: 0 auto; padding: 3rem 1.25rem 5rem; max-width: 48rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
h1, h2 { line-height: 1.25; text-wrap: balance; }
h1 { margin: 0 0 1.5rem; font-size: 1.9rem; letter-spacing: -0.01em; }
h2 { margin: 2.5rem 0 0.75rem; font-size: 1.25rem; }
p { margin: 0.75rem 0; white-space: pre-line; }
.table { margin: 1.25rem 0; overflow-x: auto; }
.picture { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.925rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 1.5rem 0.4rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
th.number, td.number { text-align: right; white-space: nowrap; }
figure { margin: 1.75rem 0; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
figcaption { margin-top: 0.5rem; color: var(--soft); font-size: 0.9rem; }
pre { margin: 1.25rem 0; padding: 0.9rem 1.1rem; overflow-x: auto;
  border-radius: 6px; background: var(--tint); font: 0.875rem/1.5 ui-monospace, monospace; }
@media (max-width: 40rem) {
  body { padding: 1.5rem 1rem 3rem; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  td { overflow-wrap: anywhere; }
  .picture img { width: 32rem; max-width: none; }
  .wide thead { display: none; }
  .wide table, .wide tbody, .wide tr { display: block; }
  .wide tr { padding: 0.6rem 0; border-bottom: 1px solid var(--line); }
  .wide td, .wide td.number { display: grid; grid-template-columns: 11rem 1fr; gap: 0.75rem;
    padding: 0.1rem 0; border: 0; text-align: left; white-space: normal; }
  .wide td::before { content: attr(data-label); color: var(--soft); }
  .wide td:first-child { display: block; font-weight: 600; }
  .wide td:first-child::before { content: none; }
}
"""

# The policy forbids what the page must not need: anything from outside the file, and scripts.
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
"""
