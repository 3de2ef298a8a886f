"""How runs are executed: what is to be done, in which processes, and many runs on one card.

May import the ground floor, `experiments`, `engine` and `rows`, and `api` for the check of a card. Front door:
`sweep.run` for the runs of an experiment, `planning.plan` for what it would do. `python -m seqbench.bench.running.card`
checks a card.
"""
