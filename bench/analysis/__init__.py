"""What rows say: means and intervals, which models are the best, and whether a published number holds.

Nothing here prints or draws. May import the ground floor, `experiments`, `engine` and `rows`. Front door:
`grid.collect` for the scores of an experiment, `ledger.lines` for the published numbers beside ours.
"""
