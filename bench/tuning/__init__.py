"""What a study of settings gives: its trials as an experiment, the winners, what another budget would have found.

May import the ground floor, `experiments`, `engine`, `rows` and `analysis`. Front door: `study.trials_of` for the runs
of the trials, `selection.searched` for what their rows say, `winners.write` for `tuned.yaml`; `new_experiment.write` is
`seqbench new`.
"""
