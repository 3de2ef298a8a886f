"""Tables as Markdown, LaTeX, CSV and JSON: of an experiment, of the published numbers, of speed.

May import the ground floor, `experiments`, `rows`, `analysis` and `tuning`. Front door: `experiment_table.table`,
`ledger_table.ledger` and `speed_table`; `writers.Table` is a table in every format.
"""
