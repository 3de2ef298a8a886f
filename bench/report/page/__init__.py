"""One HTML file with all that an experiment has: its tables, its figures, and the facts of every run.

May import the ground floor, `experiments`, `engine`, `rows`, `analysis`, `tuning`, `report/tables` and
`report/figures`. Front door: `page.write`.
"""
