"""Figures of an experiment, and of speed against length: the same rows give the same bytes.

May import the ground floor, `experiments`, `rows`, `analysis`, `tuning` and `report/tables`. Front door:
`drawing.write` for the figures of an experiment by name; `style` has how they look, and `panels` what they are drawn
from.
"""
